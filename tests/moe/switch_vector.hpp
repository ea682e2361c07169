// A Switch layer small enough to be worked out by hand, with its results (computed in f64): six
// tokens, three experts with capacity 2, so that two of the four tokens of expert 0 are dropped.
#pragma once

#include "support/switch_reference.hpp"

namespace switchyard {

inline reference::SwitchProblem vector_problem() {
  reference::SwitchProblem p;
  p.V = 1, p.N = 6, p.D = 2, p.F = 2, p.E = 3, p.capacity = 2;
  p.aux_coef = 0.01, p.z_coef = 0.001;
  p.real.assign(6, 1);
  p.x = {1, .5, .8, -.2, .9, .4, -.5, 1, -.4, -.9, 1.1, .3};
  p.dy = {1, -1, .5, .2, -.3, .7, .9, .1, .4, -.6, .2, .3};
  p.router = {1, -.5, -.2, .1, .8, -.6};
  p.wi = {.5, -.3, .2, .4, -.6, .1, .7, .5, .3, .9, -.8, .2};
  p.wo = {.4, -.1, .6, .3, -.2, .5, .1, .9, .7, .2, -.3, .8};
  return p;
}

inline const std::vector<double> vector_y = {.1569772,  -.0392443, .0845926, -.0211481, 0, 0,
                                             -.1071316, .6255105,  .2546414, .0727547,  0, 0};
inline const std::vector<double> vector_d_router = {.08528939, -.03638533, -.04747425,
                                                    .04763263, -.01962105, -.02737791};
inline const std::vector<double> vector_dx = {.25820093, .05602335,  .07446781, .02406311,
                                              .00103187, 5.70e-6,    .07647019, -.01141731,
                                              .01903399, -.10147220, .00101718, 3.816e-5};
inline constexpr double vector_aux = 1.2291493, vector_z = 1.9024677, vector_loss = 0.27281842;

}  // namespace switchyard
