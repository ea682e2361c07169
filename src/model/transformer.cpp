#include "model/transformer.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "model/embedding.hpp"
#include "model/logits.hpp"
#include "model/parameters.hpp"
#include "model/sequence.hpp"
#include "model/stack.hpp"

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
};

struct Transformer::Saved {
  Sequence inputs, targets;
  std::vector<std::int32_t> decoder_ids;  // [h*b*T]
  std::vector<std::int32_t> target_ids;   // [h*b*T], -1 at padding
  StackSaved encoder, decoder;
  Tensor<float> memory;  // [h*b*S, D] the encoder's output
  LogitsSaved logits;
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
}
Transformer::~Transformer() = default;
Transformer::Transformer(Transformer&&) noexcept = default;

const ModelConfig& Transformer::config() const { return parts_->config; }
ParamSet& Transformer::parameters() { return parts_->params; }
const ParamSet& Transformer::parameters() const { return parts_->params; }

Transformer::Output Transformer::forward(StepContext& context, const Batch& batch) const {
  const Parts& m = *parts_;
  const std::int64_t ranks = context.hosted().size();
  auto saved = std::make_unique<Saved>();
  saved->inputs = encoder_sequence(batch, ranks);
  saved->targets = decoder_sequence(batch, ranks);
  saved->decoder_ids = decoder_input(batch);
  saved->target_ids = masked_targets(batch);

  Output out;
  Tensor<float> h = m.embedding.forward(context, m.params, saved->inputs, batch.inputs,
                                        m.encoder.embedding_dropout());
  saved->memory = m.encoder.forward(context, m.params, saved->inputs, nullptr, std::move(h),
                                    saved->encoder, out.sparse_layers);
  const Memory memory{saved->inputs, std::as_const(saved->memory).view()};
  h = m.embedding.forward(context, m.params, saved->targets, saved->decoder_ids,
                          m.decoder.embedding_dropout());
  h = m.decoder.forward(context, m.params, saved->targets, &memory, std::move(h), saved->decoder,
                        out.sparse_layers);
  LogitsOutput logits =
      m.logits.forward(context, m.params, saved->targets, std::move(h), saved->target_ids);
  out.token_loss = std::move(logits.loss);
  out.extra_loss = std::move(logits.extra_loss);
  out.predictions = std::move(logits.predictions);
  saved->logits = std::move(logits.saved);
  if (context.mode == Mode::train) out.saved = std::move(saved);
  return out;
}

void Transformer::backward(StepContext& context, const Batch& batch, Output& output) {
  assert(output.saved && "backward needs the output of a forward in training");
  Parts& m = *parts_;
  const std::unique_ptr<Saved> saved = std::move(output.saved);
  const Memory memory{saved->inputs, std::as_const(saved->memory).view()};
  const float scale =
      batch.target_tokens > 0 ? 1.0f / static_cast<float>(batch.target_tokens) : 0.0f;

  // The tied embedding's leaf grows in this order: logits, encoder lookups, decoder lookups.
  Tensor<float> d = m.logits.backward(context, m.params, saved->logits, saved->target_ids, scale);
  Tensor<float> d_memory = Tensor<float>::zeros(saved->memory.rows(), saved->memory.cols());
  Tensor<float> d_decoder =
      m.decoder.backward(context, m.params, saved->targets, &memory, std::move(saved->decoder),
                         std::move(d), d_memory.view());
  Tensor<float> d_encoder =
      m.encoder.backward(context, m.params, saved->inputs, nullptr, std::move(saved->encoder),
                         std::move(d_memory), View<float>());
  m.embedding.backward(context, m.params, saved->inputs, batch.inputs,
                       m.encoder.embedding_dropout(), d_encoder.view());
  m.embedding.backward(context, m.params, saved->targets, saved->decoder_ids,
                       m.decoder.embedding_dropout(), d_decoder.view());
}

}  // namespace switchyard
