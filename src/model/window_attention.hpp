// Self-attention in which positions see what config.window lets them, in memory and time linear in
// the length of rows: tile by tile (model/window_tiles.hpp). What lies between the projections;
// knows no kernels.
#pragma once

#include "model/attention_pairs.hpp"

namespace switchyard {

// Writes saved.context, and saved.weights where they are kept, from saved.q, k and v.
template <class In>
void window_attention_forward(const AttentionPass<In>& pass, AttentionSaved<In>& saved);

// Makes `gradients` from gradients.d_context and what forward saved.
template <class In>
void window_attention_backward(const AttentionPass<In>& pass, const AttentionSaved<In>& saved,
                               const HeadGradients<In>& gradients);

}  // namespace switchyard
