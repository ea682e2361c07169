// Attention in which every query sees every key of its row, or with `causal` those up to its own
// position. Computes the part between the projections; it knows no kernels.
#pragma once

#include "model/attention_pairs.hpp"

namespace switchyard {

// How many queries of a row and head have their scores computed together: few enough that the
// scores stay in a core's cache from the product that writes them to the one that reads them.
// Depends on the shape alone.
std::int64_t queries_at_once(std::int64_t queries, std::int64_t keys);

// Writes saved.context, and saved.weights where they are kept, from saved.q, saved.k and saved.v.
template <class In>
void full_attention_forward(const AttentionPass<In>& pass, AttentionSaved<In>& saved);

// Fills in `gradients` from gradients.d_context and what forward saved.
template <class In>
void full_attention_backward(const AttentionPass<In>& pass, const AttentionSaved<In>& saved,
                             const HeadGradients<In>& gradients);

}  // namespace switchyard
