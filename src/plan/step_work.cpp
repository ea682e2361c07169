#include "plan/step_work.hpp"

#include <algorithm>
#include <cmath>

#include "plan/capacity.hpp"
#include "plan/parameters.hpp"

namespace switchyard {
namespace {

double real(std::int64_t n) { return static_cast<double>(n); }

// Counts the work of one process, which hosts `ranks_` virtual ranks.
class Counter {
 public:
  Counter(const ModelConfig& config, const Layout& layout, const StepShape& shape, double load)
      : config_(config), layout_(layout), shape_(shape), load_(load) {
    // The last process has the most of everything that does not divide evenly.
    const Rank busiest{layout.processes() - 1};
    ranks_ = real(layout.hosted(busiest).size() * shape.micro_steps);
    leaves_ = real(layout.hosted(busiest).size());
    rows_ = real(shape.rows_of_rank(layout));
    D_ = real(config.d_model), F_ = real(config.d_ff);
    width_ = real(config.num_heads * config.d_kv);
    passes_ = config.recompute == Recompute::block ? 4 : 3;
    if (layout.experts() > 0) {
      experts_ = real(layout.owned_experts(busiest).size());
      groups_ = real(layout.groups_of(busiest).size());
    }
  }

  StepWork count() {
    for (const bool decoder : {false, true}) count_stack(decoder);
    count_logits();
    const ParameterCount parameters = count_parameters(config_);
    const double dense = real(parameters.dense());
    const double own =
        experts_ == 0 ? 0 : real(parameters.experts) / real(layout_.experts()) * experts_;
    work_.parameters = dense + own;
    work_.gradient_elements = dense / real(layout_.processes()) + own;
    work_.leaf_elements = (leaves_ - 1) * dense + std::max(groups_ - 1, 0.0) * own;
    return work_;
  }

 private:
  double positions(bool decoder) const { return rows_ * real(shape_.length(decoder)); }  // N

  void count_stack(bool decoder) {
    const double N = positions(decoder), n = real(shape_.length(decoder));
    const double S = real(shape_.input_length);
    const double blocks = real(block_count(config_, decoder));
    const double sparse = real(config_.sparse_layers(decoder));
    const bool windowed = !decoder && config_.encoder_window;
    const double keys =
        windowed ? real(config_.encoder_window->visible_pairs(shape_.input_length)) / n : n;
    add_attention(blocks, N, N, n, keys);
    if (decoder) add_attention(blocks, N, positions(false), n, S);
    add_mlp(work_.feed_forward, ranks_ * (blocks - sparse), N);
    work_.feed_forward_elements +=
        ranks_ * (blocks * N * D_ + (blocks - sparse) * N * F_ * hidden());
    work_.embedding_elements += ranks_ * N * D_;
    if (sparse > 0) add_sparse(decoder, sparse, N);
  }

  // query_rows, key_rows: positions of a virtual rank. queries, keys: of one row.
  void add_attention(double blocks, double query_rows, double key_rows, double queries,
                     double keys) {
    const double times = ranks_ * blocks, heads = times * rows_ * real(config_.num_heads);
    const double d_kv = real(config_.d_kv);
    auto& products = work_.attention;
    products.push_back({times, query_rows, width_, D_, passes_});
    products.push_back({2 * times, key_rows, width_, D_, passes_});
    products.push_back({times, query_rows, D_, width_, passes_});
    const bool again = config_.recompute == Recompute::attention;
    products.push_back({heads, queries, keys, d_kv, passes_ + (again ? 1 : 0)});
    products.push_back({heads, queries, d_kv, keys, passes_});
    work_.attention_elements += times * query_rows * D_;
    work_.scores += heads * queries * keys;
  }

  double hidden() const { return config_.activation == Activation::gated_gelu ? 3 : 1; }

  void add_mlp(std::vector<Products>& products, double times, double rows) const {
    if (times == 0) return;
    const double in = config_.activation == Activation::gated_gelu ? 2 : 1;
    products.push_back({in * times, rows, F_, D_, passes_});
    products.push_back({times, rows, D_, F_, passes_});
  }

  void add_sparse(bool decoder, double layers, double N) {
    const CapacityPlan capacity = plan_capacity(config_, layout_, shape_, decoder);
    const double E = real(layout_.experts()), A = real(shape_.micro_steps);
    const double members = real(layout_.virtual_ranks()) / real(layout_.groups());
    const double rows = capacity.rows / E * members * load_;  // of one expert of one group
    const double batches = layers * A * experts_ * groups_;
    add_mlp(work_.experts, batches, rows);
    work_.expert_elements += batches * rows * (D_ + F_ * hidden());
    work_.row_elements += layers * ranks_ * capacity.rows * D_;
    const double outputs = real(config_.router_outputs(decoder));
    if (outputs == 0) return;
    work_.routing.push_back({layers * ranks_, N, outputs, D_, 3});
    work_.choices += layers * ranks_ * N * outputs;
    if (config_.moe.routing(decoder) != RoutingMethod::soft) return;
    const double n = real(shape_.length(decoder));
    work_.routing.push_back({layers * ranks_ * rows_, outputs, D_, n, passes_});
    work_.routing.push_back({layers * ranks_ * rows_, n, D_, outputs, passes_});
  }

  void count_logits() {
    constexpr double most = 512;  // positions at a time
    const double N = positions(true), chunk = std::min(most, N);
    const double W = real(config_.vocab_size);
    work_.logits.push_back({ranks_ * N / chunk, chunk, W, D_, 3});
    work_.logit_elements += ranks_ * N * W;
  }

  const ModelConfig& config_;
  const Layout& layout_;
  StepShape shape_;
  double load_;
  double ranks_ = 0, leaves_ = 0, rows_ = 0, D_ = 0, F_ = 0, width_ = 0, passes_ = 3;
  double experts_ = 0, groups_ = 0;  // of the process
  StepWork work_;
};

}  // namespace

StepWork plan_step_work(const ModelConfig& config, const Layout& layout, const StepShape& shape,
                        double load) {
  return Counter(config, layout, shape, load).count();
}

}  // namespace switchyard
