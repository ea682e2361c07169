// Attention in which every query sees every key of its row, or with `causal` those up to its own
// position. What lies between the projections; knows no kernels.
#pragma once

#include "model/attention_pairs.hpp"

namespace switchyard {

// Queries of a row in one head whose scores are in work at a time: few enough that a core's cache
// keeps them from the product that makes them to the one that uses them. By the shape alone.
std::int64_t queries_at_once(std::int64_t queries, std::int64_t keys);

// Writes saved.context, and saved.weights where they are kept, from saved.q, k and v.
template <class In>
void full_attention_forward(const AttentionPass<In>& pass, AttentionSaved<In>& saved);

// Makes `gradients` from gradients.d_context and what forward saved.
template <class In>
void full_attention_backward(const AttentionPass<In>& pass, const AttentionSaved<In>& saved,
                             const HeadGradients<In>& gradients);

}  // namespace switchyard
