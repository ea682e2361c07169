#include "model/transformer.hpp"

#include <algorithm>
#include <cassert>
#include <utility>
#include <variant>

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

// What backward needs of both stacks, the inputs of products as In.
template <class In>
struct Activations {
  StackSaved<In> encoder, decoder;
  Tensor<In> memory;  // [h*b*S, D] the encoder's output
  LogitsSaved<In> logits;
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
  void backward(StepContext& context, const Batch& batch, const Saved& saved,
                Activations<In> activations);
};

struct Transformer::Saved : InStorage {
  Sequence inputs, targets;
  Buffer<std::int32_t> target_ids;  // [h*b*T], -1 at padding
  std::variant<Activations<float>, Activations<bfloat16>> activations;
};

Transformer::Output::Output() = default;
Transformer::Output::Output(Output&&) noexcept = default;
Transformer::Output& Transformer::Output::operator=(Output&&) noexcept = default;
Transformer::Output::~Output() = default;

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

void Transformer::backward(StepContext& context, const Batch& batch, Output& output) {
  assert(output.saved && "backward needs the output of a forward in training");
  const std::unique_ptr<Saved> saved = std::move(output.saved);
  std::visit(
      [&](auto& activations) { parts_->backward(context, batch, *saved, std::move(activations)); },
      saved->activations);
}

template <class In>
Transformer::Output Transformer::Parts::forward(StepContext& context, const Batch& batch) const {
  const std::int64_t ranks = context.hosted().size();
  auto saved = std::make_unique<Saved>();
  saved->inputs = encoder_sequence(batch, ranks);
  saved->targets = decoder_sequence(batch, ranks);
  saved->target_ids = masked_targets(batch);

  Output out;
  Activations<In> a;
  Tensor<float> h = embedding.forward(context, params, saved->inputs, encoder.embedding_dropout());
  a.memory = rounded<In>(encoder.forward<In>(context, params, saved->inputs, nullptr, std::move(h),
                                             a.encoder, out.sparse_layers));
  const Memory<In> memory{saved->inputs, std::as_const(a.memory).view()};
  h = embedding.forward(context, params, saved->targets, decoder.embedding_dropout());
  h = decoder.forward(context, params, saved->targets, &memory, std::move(h), a.decoder,
                      out.sparse_layers);
  LogitsOutput<In> scored =
      logits.forward<In>(context, params, saved->targets, std::move(h), saved->target_ids);
  out.token_loss = std::move(scored.loss);
  out.extra_loss = std::move(scored.extra_loss);
  out.predictions = std::move(scored.predictions);
  a.logits = std::move(scored.saved);
  saved->activations = std::move(a);
  if (context.mode == Mode::train) out.saved = std::move(saved);
  return out;
}

template <class In>
void Transformer::Parts::backward(StepContext& context, const Batch& batch, const Saved& saved,
                                  Activations<In> a) {
  const Memory<In> memory{saved.inputs, std::as_const(a.memory).view()};
  const float scale =
      batch.target_tokens > 0 ? 1.0f / static_cast<float>(batch.target_tokens) : 0.0f;

  // The tied embedding's leaf grows in this order: logits, encoder lookups, decoder lookups.
  Tensor<float> d = logits.backward(context, params, a.logits, saved.target_ids, scale);
  Tensor<float> d_memory = Tensor<float>::zeros(a.memory.rows(), a.memory.cols());
  Tensor<float> d_decoder = decoder.backward(context, params, saved.targets, &memory,
                                             std::move(a.decoder), std::move(d), d_memory.view());
  Tensor<float> d_encoder =
      encoder.backward<In>(context, params, saved.inputs, nullptr, std::move(a.encoder),
                           std::move(d_memory), View<float>());
  embedding.backward(context, params, saved.inputs, encoder.embedding_dropout(), d_encoder.view());
  embedding.backward(context, params, saved.targets, decoder.embedding_dropout(), d_decoder.view());
}

}  // namespace switchyard
