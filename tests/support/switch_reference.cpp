// Forward one token at a time, then each gradient by its own formula.
#include "support/switch_reference.hpp"

#include <cmath>

namespace switchyard::reference {
namespace {

// The feed-forward network of one expert for one token, with what its backward needs.
struct TokenMlp {
  std::vector<double> pre, pre_1, hidden, out;
};

double gelu(double a) {
  return 0.5 * a * (1 + std::tanh(std::sqrt(2 / M_PI) * (a + 0.044715 * a * a * a)));
}
double gelu_slope(double a) {
  const double c = std::sqrt(2 / M_PI), t = std::tanh(c * (a + 0.044715 * a * a * a));
  return 0.5 * (1 + t) + 0.5 * a * (1 - t * t) * c * (1 + 3 * 0.044715 * a * a);
}

TokenMlp mlp(const SwitchProblem& p, std::int64_t token, std::int64_t e) {
  TokenMlp m{std::vector<double>(p.F), std::vector<double>(p.F), std::vector<double>(p.F),
             std::vector<double>(p.D)};
  for (std::int64_t f = 0; f < p.F; ++f) {
    for (std::int64_t d = 0; d < p.D; ++d) {
      m.pre[f] += p.x[token * p.D + d] * p.wi[(e * p.D + d) * p.F + f];
      if (p.gated) m.pre_1[f] += p.x[token * p.D + d] * p.wi_1[(e * p.D + d) * p.F + f];
    }
    m.hidden[f] = p.gated ? gelu(m.pre[f]) * m.pre_1[f] : std::max(m.pre[f], 0.0);
    if (!p.hidden_mask.empty()) m.hidden[f] *= p.hidden_mask[token * p.F + f];
    for (std::int64_t d = 0; d < p.D; ++d) m.out[d] += m.hidden[f] * p.wo[(e * p.F + f) * p.D + d];
  }
  return m;
}

void mlp_backward(const SwitchProblem& p, std::int64_t token, std::int64_t e, const TokenMlp& m,
                  const std::vector<double>& d_out, SwitchResult& r) {
  for (std::int64_t f = 0; f < p.F; ++f) {
    double d_hidden = 0;
    for (std::int64_t d = 0; d < p.D; ++d) {
      d_hidden += d_out[d] * p.wo[(e * p.F + f) * p.D + d];
      r.d_wo[(e * p.F + f) * p.D + d] += m.hidden[f] * d_out[d];
    }
    if (!p.hidden_mask.empty()) d_hidden *= p.hidden_mask[token * p.F + f];
    const double d_pre =
        p.gated ? d_hidden * m.pre_1[f] * gelu_slope(m.pre[f]) : (m.pre[f] > 0 ? d_hidden : 0.0);
    const double d_pre_1 = p.gated ? d_hidden * gelu(m.pre[f]) : 0.0;
    for (std::int64_t d = 0; d < p.D; ++d) {
      const std::int64_t w = (e * p.D + d) * p.F + f;
      r.d_wi[w] += p.x[token * p.D + d] * d_pre;
      r.dx[token * p.D + d] += p.wi[w] * d_pre;
      if (!p.gated) continue;
      r.d_wi_1[w] += p.x[token * p.D + d] * d_pre_1;
      r.dx[token * p.D + d] += p.wi_1[w] * d_pre_1;
    }
  }
}

double factor(const SwitchProblem& p, std::int64_t token, std::int64_t d) {
  return p.jitter.empty() ? 1.0 : p.jitter[token * p.D + d];
}

// Softmax over experts of one token, and the logarithm of its normaliser.
double probabilities(const SwitchProblem& p, std::int64_t token, std::vector<double>& out) {
  double sum = 0;
  for (std::int64_t e = 0; e < p.E; ++e) {
    double logit = 0;
    for (std::int64_t d = 0; d < p.D; ++d)
      logit += p.x[token * p.D + d] * factor(p, token, d) * p.router[d * p.E + e];
    out[e] = std::exp(logit);
    sum += out[e];
  }
  for (double& value : out) value /= sum;
  return std::log(sum);
}

// d loss / d probabilities -> logits -> the router's weights and its input.
void router_backward(const SwitchProblem& p, std::int64_t token, const std::vector<double>& prob,
                     const std::vector<double>& d_prob, double d_lse, SwitchResult& r) {
  double mean = 0;
  for (std::int64_t e = 0; e < p.E; ++e) mean += prob[e] * d_prob[e];
  for (std::int64_t e = 0; e < p.E; ++e) {
    const double d_logit = prob[e] * (d_prob[e] - mean) + d_lse * prob[e];
    for (std::int64_t d = 0; d < p.D; ++d) {
      const double u = factor(p, token, d);
      r.d_router[d * p.E + e] += p.x[token * p.D + d] * u * d_logit;
      r.dx[token * p.D + d] += u * p.router[d * p.E + e] * d_logit;
    }
  }
}

SwitchResult sized_result(const SwitchProblem& p) {
  SwitchResult r;
  r.expert.assign(p.V * p.N, -1);
  r.slot.assign(p.V * p.N, -1);
  r.gate.assign(p.V * p.N, 0);
  r.y.assign(p.x.size(), 0);
  r.dx.assign(p.x.size(), 0);
  r.d_router.assign(p.router.size(), 0);
  r.d_wi.assign(p.wi.size(), 0);
  r.d_wi_1.assign(p.wi_1.size(), 0);
  r.d_wo.assign(p.wo.size(), 0);
  return r;
}

void run_group(const SwitchProblem& p, std::int64_t v, double real_in_step, SwitchResult& r) {
  std::vector<std::vector<double>> prob(p.N, std::vector<double>(p.E));
  std::vector<double> lse(p.N), f(p.E), mean_p(p.E);
  std::vector<std::int64_t> taken(p.E);
  double real = 0;
  for (std::int64_t t = 0; t < p.N; ++t) {
    const std::int64_t token = v * p.N + t;
    if (!p.real[token]) continue;
    real += 1;
    lse[t] = probabilities(p, token, prob[t]);
    std::int64_t best = 0;
    for (std::int64_t e = 0; e < p.E; ++e) {
      mean_p[e] += prob[t][e];
      if (prob[t][e] > prob[t][best]) best = e;
    }
    r.expert[token] = best;
    r.gate[token] = prob[t][best];
    r.slot[token] = taken[best]++;
    f[best] += 1;
    r.z += lse[t] * lse[t] / real_in_step;
  }
  if (real == 0) return;
  for (std::int64_t e = 0; e < p.E; ++e)
    r.aux +=
        static_cast<double>(p.E) * (f[e] / real) * (mean_p[e] / real) / static_cast<double>(p.V);

  for (std::int64_t t = 0; t < p.N; ++t) {
    const std::int64_t token = v * p.N + t, e = r.expert[token];
    if (e < 0) continue;
    std::vector<double> d_prob(p.E);
    for (std::int64_t i = 0; i < p.E; ++i)
      d_prob[i] =
          p.aux_coef * static_cast<double>(p.E) * (f[i] / real) / (static_cast<double>(p.V) * real);
    if (r.slot[token] < p.capacity) {
      const TokenMlp m = mlp(p, token, e);
      std::vector<double> d_out(p.D);
      for (std::int64_t d = 0; d < p.D; ++d) {
        const double upstream = p.dy[token * p.D + d];
        r.y[token * p.D + d] = r.gate[token] * m.out[d];
        d_out[d] = r.gate[token] * upstream;
        d_prob[e] += upstream * m.out[d];
        r.loss += upstream * r.y[token * p.D + d];
      }
      mlp_backward(p, token, e, m, d_out, r);
    } else {
      ++r.dropped;
    }
    router_backward(p, token, prob[t], d_prob, 2 * p.z_coef * lse[t] / real_in_step, r);
  }
}

}  // namespace

SwitchResult switch_layer(const SwitchProblem& p) {
  SwitchResult r = sized_result(p);
  double real_in_step = 0;
  for (const std::uint8_t real : p.real) real_in_step += real;
  for (std::int64_t v = 0; v < p.V; ++v) run_group(p, v, real_in_step, r);
  r.loss += p.aux_coef * r.aux + p.z_coef * r.z;
  return r;
}

}  // namespace switchyard::reference
