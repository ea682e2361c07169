#include "model/transformer.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/buffer.hpp"
#include "model/embedding.hpp"
#include "model/logits.hpp"
#include "model/parameters.hpp"
#include "model/sequence.hpp"
#include "model/stack.hpp"
#include "tensor/rounding.hpp"

namespace switchyard {
namespace {

ParamSet make_parameters(const ModelConfig& config, const Layout& layout, Rank self,
                         std::uint64_t seed, Transformer::Gradients gradients) {
  std::vector<ParamSpec> specs = parameter_specs(config, layout.owned_experts(self));
  std::stable_partition(specs.begin(), specs.end(),
                        [](const ParamSpec& spec) { return !spec.expert; });
  if (gradients == Transformer::Gradients::no) return {std::move(specs), 0, 0, seed};
  return {std::move(specs), static_cast<int>(layout.hosted(self).size()),
          static_cast<int>(layout.groups_of(self).size()), seed};
}

// One pass over a batch: its inputs, and what backward needs of both stacks. In is the type of
// matrix-product inputs.
template <class In>
struct StackPass {
  Sequence inputs, targets;
  Buffer<std::int32_t> target_ids;  // [h*b*T], -1 at padding
  StackSaved<In> encoder, decoder;
  Tensor<In> encoded;  // [h*b*S, D] the encoder's output

  StackPass(const Batch& batch, std::int64_t ranks)
      : inputs(encoder_sequence(batch, ranks)),
        targets(decoder_sequence(batch, ranks)),
        target_ids(masked_targets(batch)) {}
  EncoderOutput<In> memory() const { return {inputs, encoded.view()}; }
};

}  // namespace

struct Transformer::Parts {
  ModelConfig config;
  ParamSet params;
  Embedding embedding;
  Stack encoder, decoder;
  Logits logits;

  Parts(const ModelConfig& config, ParamSet set, const ParamIndex& index, Interval<ExpertId> owned)
      : config(config),
        params(std::move(set)),
        embedding(index.at("shared.embedding")),
        encoder(config, false, index, owned),
        decoder(config, true, index, owned),
        logits(index.at(config.tie_word_embeddings ? "shared.embedding" : "logits"),
               config.tie_word_embeddings, config.extra_loss) {}

  template <class In>
  Output forward(StepContext& context, const Batch& batch) const;
  template <class In>
  Output forward_backward(StepContext& context, const Batch& batch);

 private:
  // Returns the decoder's output [h*b*T, D].
  template <class In>
  Tensor<float> run_stacks(StepContext& context, StackPass<In>& pass,
                           Buffer<SparseLayerStats>& sparse_layers) const;
  // d [h*b*T, D]: gradient of the decoder's output.
  template <class In>
  void run_stacks_backward(StepContext& context, StackPass<In> pass, Tensor<float> d);
};

Transformer::Transformer(const ModelConfig& config, const Layout& layout, Rank self,
                         std::uint64_t seed, Gradients gradients) {
  ParamSet params = make_parameters(config, layout, self, seed, gradients);
  const ParamIndex index(params);
  parts_ = std::make_unique<Parts>(config, std::move(params), index, layout.owned_experts(self));
  round_weights();
}
Transformer::~Transformer() = default;
Transformer::Transformer(Transformer&&) noexcept = default;

const ModelConfig& Transformer::config() const { return parts_->config; }
ParamSet& Transformer::parameters() { return parts_->params; }
const ParamSet& Transformer::parameters() const { return parts_->params; }
void Transformer::round_weights() {
  if (parts_->config.precision == Precision::bfloat16) parts_->params.round_values();
}

Transformer::Output Transformer::forward(StepContext& context, const Batch& batch) const {
  return parts_->config.precision == Precision::bfloat16 ? parts_->forward<bfloat16>(context, batch)
                                                         : parts_->forward<float>(context, batch);
}

Transformer::Output Transformer::forward_backward(StepContext& context, const Batch& batch) {
  assert(context.mode == Mode::train);
  return parts_->config.precision == Precision::bfloat16
             ? parts_->forward_backward<bfloat16>(context, batch)
             : parts_->forward_backward<float>(context, batch);
}

namespace {

Transformer::Output output_of(LogitsOutput scored, Buffer<SparseLayerStats> sparse_layers) {
  return {std::move(scored.loss), std::move(scored.extra_loss), std::move(scored.predictions),
          std::move(sparse_layers)};
}

}  // namespace

template <class In>
Transformer::Output Transformer::Parts::forward(StepContext& context, const Batch& batch) const {
  StackPass<In> pass(batch, context.hosted().size());
  Buffer<SparseLayerStats> sparse_layers;
  Tensor<float> h = run_stacks(context, pass, sparse_layers);
  return output_of(logits.forward<In>(context, params, pass.targets, std::move(h), pass.target_ids),
                   std::move(sparse_layers));
}

template <class In>
Transformer::Output Transformer::Parts::forward_backward(StepContext& context, const Batch& batch) {
  StackPass<In> pass(batch, context.hosted().size());
  Buffer<SparseLayerStats> sparse_layers;
  Tensor<float> h = run_stacks(context, pass, sparse_layers);
  const float scale =
      batch.target_tokens > 0 ? 1.0f / static_cast<float>(batch.target_tokens) : 0.0f;
  LogitsOutput scored = logits.forward_backward<In>(context, params, pass.targets, std::move(h),
                                                    pass.target_ids, scale);
  run_stacks_backward(context, std::move(pass), std::move(scored.d_hidden));
  return output_of(std::move(scored), std::move(sparse_layers));
}

template <class In>
Tensor<float> Transformer::Parts::run_stacks(StepContext& context, StackPass<In>& pass,
                                             Buffer<SparseLayerStats>& sparse_layers) const {
  Tensor<float> h = embedding.forward(context, params, pass.inputs, encoder.embedding_dropout());
  pass.encoded = rounded<In>(encoder.forward<In>(context, params, pass.inputs, nullptr,
                                                 std::move(h), pass.encoder, sparse_layers));
  const EncoderOutput<In> memory = pass.memory();
  h = embedding.forward(context, params, pass.targets, decoder.embedding_dropout());
  return decoder.forward(context, params, pass.targets, &memory, std::move(h), pass.decoder,
                         sparse_layers);
}

// The gradient leaf of the tied embedding is accumulated in this order: logits, encoder lookups,
// decoder lookups.
template <class In>
void Transformer::Parts::run_stacks_backward(StepContext& context, StackPass<In> pass,
                                             Tensor<float> d) {
  const EncoderOutput<In> memory = pass.memory();
  Tensor<float> d_memory = Tensor<float>::zeros(pass.encoded.rows(), pass.encoded.cols());
  Tensor<float> d_decoder =
      decoder.backward(context, params, pass.targets, &memory, std::move(pass.decoder),
                       std::move(d), d_memory.view());
  Tensor<float> d_encoder =
      encoder.backward<In>(context, params, pass.inputs, nullptr, std::move(pass.encoder),
                           std::move(d_memory), View<float>());
  embedding.backward(context, params, pass.inputs, encoder.embedding_dropout(), d_encoder.view());
  embedding.backward(context, params, pass.targets, decoder.embedding_dropout(), d_decoder.view());
}

}  // namespace switchyard
