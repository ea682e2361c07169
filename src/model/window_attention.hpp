// Self-attention restricted to the window config.window, in memory and time linear in the row
// length: tile by tile (model/window_tiles.hpp). Computes the part between the projections; it
// knows no kernels.
#pragma once

#include "model/attention_pairs.hpp"

namespace switchyard {

// Writes saved.context, and saved.weights where they are kept, from saved.q, saved.k and saved.v.
template <class In>
void window_attention_forward(const AttentionPass<In>& pass, AttentionSaved<In>& saved);

// Fills in `gradients` from gradients.d_context and what forward saved.
template <class In>
void window_attention_backward(const AttentionPass<In>& pass, const AttentionSaved<In>& saved,
                               const HeadGradients<In>& gradients);

}  // namespace switchyard
