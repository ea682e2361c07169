#include "model/stack.hpp"

#include <utility>

#include "base/buffer.hpp"

namespace switchyard {
namespace {

// Builds the parts of one stack from the configuration and the tensors' names.
class Builder {
 public:
  Builder(const ModelConfig& config, bool decoder, const ParamIndex& params,
          Interval<ExpertId> owned)
      : config_(config), decoder_(decoder), params_(params), owned_(owned) {}

  Block block(int i) const {
    const std::string name = block_name(decoder_, i);
    Block::Attend self = attend(name + (decoder_ ? ".self_attention" : ".attention"), i, false);
    std::optional<Block::Attend> cross;
    if (decoder_) cross = attend(name + ".cross_attention", i, true);
    const std::string feed = name + ".feed_forward";
    return {std::move(self),
            std::move(cross),
            {residual(feed, dropout(Purpose::feed_forward_output_dropout, i), Phase::feed_forward),
             feed_forward(feed, i)}};
  }

  std::size_t first_param(int i) const {
    return params_.at(block_name(decoder_, i) + (decoder_ ? ".self_attention.q" : ".attention.q"));
  }
  Norm norm(const std::string& name) const {
    return {params_.at(name + ".norm"), config_.layer_norm_epsilon};
  }
  Dropout dropout(Purpose purpose, int block) const {
    const int layer = decoder_ ? config_.num_layers + block : block;
    return {config_.dropout_rate, purpose, static_cast<std::uint32_t>(layer)};
  }

 private:
  Residual residual(const std::string& name, Dropout output_dropout, Phase phase) const {
    return {norm(name), output_dropout, phase};
  }

  Block::Attend attend(const std::string& name, int block, bool cross) const {
    const Dropout weights =
        dropout(cross ? Purpose::cross_attention_dropout : Purpose::attention_dropout, block);
    const Dropout output = dropout(
        cross ? Purpose::cross_attention_output_dropout : Purpose::attention_output_dropout, block);
    return {residual(name, output, Phase::attention),
            Attention({config_.num_heads, config_.d_kv, decoder_ && !cross, !cross, weights,
                       params_.at(name + ".q"), params_.at(name + ".k"), params_.at(name + ".v"),
                       params_.at(name + ".o"), config_.recompute != Recompute::attention,
                       decoder_ ? std::nullopt : config_.encoder_window})};
  }

  FeedForward feed_forward(const std::string& name, int block) const {
    const Dropout hidden = dropout(Purpose::hidden_dropout, block);
    if (!config_.is_sparse(decoder_, block)) {
      const DenseParams dense = mlp<DenseParams>(name);
      return FeedForward(DenseFeedForward(config_.activation, hidden, dense));
    }
    const SparseLayerConfig config{.moe = config_.moe,
                                   .method = config_.moe.routing(decoder_),
                                   .balance_weight = config_.aux_loss_weight(),
                                   .z_weight = config_.z_loss_weight(),
                                   .activation = config_.activation,
                                   .layer = hidden.layer};
    if (config.method == RoutingMethod::soft)
      return FeedForward(SoftLayer(config, sparse_params(name, config.method)));
    return FeedForward(SwitchLayer(config, sparse_params(name, config.method)));
  }

  SparseLayerParams sparse_params(const std::string& name, RoutingMethod method) const {
    SparseLayerParams params;
    if (has_router(method)) params.router = params_.at(name + ".router");
    if (config_.has_router_bias(decoder_)) params.bias = params_.at(name + ".router_bias");
    for (const ExpertId expert : owned_) {
      params.experts.push_back(
          mlp<ExpertParams>(name + ".experts." + std::to_string(expert.value)));
    }
    return params;
  }

  template <class Params>
  Params mlp(const std::string& name) const {
    if (config_.activation == Activation::relu) {
      return {params_.at(name + ".wi"), 0, params_.at(name + ".wo")};
    }
    return {params_.at(name + ".wi_0"), params_.at(name + ".wi_1"), params_.at(name + ".wo")};
  }

  const ModelConfig& config_;
  bool decoder_;
  const ParamIndex& params_;
  Interval<ExpertId> owned_;
};

template <class In>
void add_stats(Mode mode, const SwitchLayerSaved<In>& saved, SparseLayerStats& stats) {
  for (const Routing& routing : saved.routings) {
    stats.groups.push_back(routing.stats);
    if (mode == Mode::train) continue;
    const Buffer<std::int32_t> first = routing.first_choice();
    stats.expert.insert(stats.expert.end(), first.begin(), first.end());
  }
}
template <class In>
void add_stats(Mode mode, const SoftLayerSaved<In>& saved, SparseLayerStats& stats) {
  stats.groups = saved.stats;
  if (mode == Mode::train) return;
  for (const SoftMixture& mixture : saved.mixtures) {
    const Buffer<std::int32_t> best = mixture.best_expert();
    stats.expert.insert(stats.expert.end(), best.begin(), best.end());
  }
}
template <class In>
void add_stats(Mode, const MlpSaved<In>&, SparseLayerStats&) {}

}  // namespace

Stack::Stack(const ModelConfig& config, bool decoder, const ParamIndex& params,
             Interval<ExpertId> owned)
    : decoder_(decoder),
      recompute_blocks_(config.recompute == Recompute::block),
      bias_(params.at(stack_name(decoder) + ".relative_bias"), !decoder) {
  const Builder builder(config, decoder, params, owned);
  const int blocks = decoder ? config.num_decoder_layers : config.num_layers;
  for (int i = 0; i < blocks; ++i) {
    blocks_.push_back(builder.block(i));
    names_.push_back(block_name(decoder, i));
    first_params_.push_back(i == 0 ? params.at(stack_name(decoder) + ".relative_bias")
                                   : builder.first_param(i));
  }
  norm_ = builder.norm(stack_name(decoder));
  embedding_dropout_ = builder.dropout(Purpose::embedding_dropout, 0);
  final_dropout_ = builder.dropout(Purpose::final_dropout, 0);
}

template <class In>
Tensor<float> Stack::forward(StepContext& context, const ParamSet& params, const Sequence& sequence,
                             const EncoderOutput<In>* memory, Tensor<float> h,
                             StackSaved<In>& saved, Buffer<SparseLayerStats>& stats) const {
  const PositionBias bias = bias_.forward(params, sequence.length);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    BlockSaved<In> block;
    h = blocks_[i].forward(context, params, sequence, bias, memory, std::move(h), block);
    if (blocks_[i].is_sparse()) {
      stats.push_back({names_[i], decoder_, {}, {}});
      std::visit([&](const auto& layer) { add_stats(context.mode, layer, stats.back()); },
                 block.feed_forward);
    }
    if (context.mode == Mode::evaluate) continue;
    if (recompute_blocks_) block.keep_input_and_decisions();
    saved.blocks.push_back(std::move(block));
  }
  Tensor<float> y = Tensor<float>::uninitialized(h.rows(), h.cols());
  saved.inverse_rms = norm_.forward(params, std::as_const(h).view(), y.view());
  final_dropout_.apply(context, sequence, y.view());
  saved.h = std::move(h);
  return y;
}

template <class In>
Tensor<float> Stack::backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                              const EncoderOutput<In>* memory, StackSaved<In> saved,
                              Tensor<float> dy, View<float> d_memory) const {
  final_dropout_.apply(context, sequence, dy.view());
  Tensor<float> dh = Tensor<float>::zeros(dy.rows(), dy.cols());
  norm_.backward(params, std::as_const(dy).view(), std::as_const(saved).h.view(), saved.inverse_rms,
                 dh.view());
  const PositionBias bias = bias_.forward(params, sequence.length);
  for (std::size_t i = blocks_.size(); i-- > 0;) {
    BlockSaved<In>& block = saved.blocks[i];
    if (recompute_blocks_) blocks_[i].repeat(context, params, sequence, bias, memory, block);
    blocks_[i].backward<In>(context, params, {sequence, bias_, bias, memory, d_memory}, block,
                            dh.view());
    saved.blocks.pop_back();
    context.gradients_complete_from(first_params_[i]);
  }
  return dh;
}

#define SWITCHYARD_INSTANTIATE(In)                                                                \
  template Tensor<float> Stack::forward(StepContext&, const ParamSet&, const Sequence&,           \
                                        const EncoderOutput<In>*, Tensor<float>, StackSaved<In>&, \
                                        Buffer<SparseLayerStats>&) const;                         \
  template Tensor<float> Stack::backward(StepContext&, ParamSet&, const Sequence&,                \
                                         const EncoderOutput<In>*, StackSaved<In>, Tensor<float>, \
                                         View<float>) const;

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
