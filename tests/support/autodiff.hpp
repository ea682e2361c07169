// Reverse-mode differentiation of scalar f64 expressions on a tape: slow and simple. It contains no
// formula for the backward of any layer, so the references built on it share nothing with the
// program.
#pragma once

#include <cassert>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace switchyard::reference {

// A number on a tape. Copyable; valid while its tape lives.
struct Var {
  std::int32_t node = -1;
};

class Tape {
 public:
  Var constant(double value) { return push(value); }
  double value(Var v) const { return values_[static_cast<std::size_t>(v.node)]; }

  Var add(Var a, Var b) { return push(value(a) + value(b), {{a, 1.0}, {b, 1.0}}); }
  Var sub(Var a, Var b) { return push(value(a) - value(b), {{a, 1.0}, {b, -1.0}}); }
  Var mul(Var a, Var b) { return push(value(a) * value(b), {{a, value(b)}, {b, value(a)}}); }
  Var div(Var a, Var b) {
    const double y = value(a) / value(b);
    return push(y, {{a, 1.0 / value(b)}, {b, -y / value(b)}});
  }
  Var scale(Var a, double s) { return push(value(a) * s, {{a, s}}); }
  Var exp(Var a) {
    const double y = std::exp(value(a));
    return push(y, {{a, y}});
  }
  Var log(Var a) { return push(std::log(value(a)), {{a, 1.0 / value(a)}}); }
  Var rsqrt(Var a) {
    const double y = 1.0 / std::sqrt(value(a));
    return push(y, {{a, -0.5 * y / value(a)}});
  }
  Var tanh(Var a) {
    const double y = std::tanh(value(a));
    return push(y, {{a, 1.0 - y * y}});
  }
  Var relu(Var a) { return push(value(a) > 0 ? value(a) : 0.0, {{a, value(a) > 0 ? 1.0 : 0.0}}); }

  Var sum(std::span<const Var> terms) {
    double total = 0;
    for (Var t : terms) total += value(t);
    const Var result = push(total);
    for (Var t : terms) edges_.push_back({t.node, 1.0});
    first_edge_.back() = edges_.size();
    return result;
  }
  // sum_i a[i * a_stride] b[i * b_stride]
  Var dot(const Var* a, std::int64_t a_stride, const Var* b, std::int64_t b_stride,
          std::int64_t n) {
    double total = 0;
    for (std::int64_t i = 0; i < n; ++i) total += value(a[i * a_stride]) * value(b[i * b_stride]);
    const Var result = push(total);
    for (std::int64_t i = 0; i < n; ++i) {
      edges_.push_back({a[i * a_stride].node, value(b[i * b_stride])});
      edges_.push_back({b[i * b_stride].node, value(a[i * a_stride])});
    }
    first_edge_.back() = edges_.size();
    return result;
  }

  // d result / d every node.
  std::vector<double> gradients(Var result) const {
    std::vector<double> adjoint(values_.size(), 0.0);
    adjoint[static_cast<std::size_t>(result.node)] = 1.0;
    for (std::size_t node = values_.size(); node-- > 0;) {
      if (adjoint[node] == 0.0) continue;
      const std::size_t begin = node == 0 ? 0 : first_edge_[node - 1];
      for (std::size_t e = begin; e < first_edge_[node]; ++e) {
        adjoint[static_cast<std::size_t>(edges_[e].parent)] += edges_[e].partial * adjoint[node];
      }
    }
    return adjoint;
  }

 private:
  struct Edge {
    std::int32_t parent;
    double partial;
  };
  struct Parent {
    Var var;
    double partial;
  };

  Var push(double value, std::initializer_list<Parent> parents = {}) {
    for (const Parent& p : parents) edges_.push_back({p.var.node, p.partial});
    values_.push_back(value);
    first_edge_.push_back(edges_.size());
    return {static_cast<std::int32_t>(values_.size() - 1)};
  }

  std::vector<double> values_;
  std::vector<std::size_t> first_edge_;  // one past the node's last edge
  std::vector<Edge> edges_;
};

}  // namespace switchyard::reference
