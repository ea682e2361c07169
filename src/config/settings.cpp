#include "config/settings.hpp"

#include <cassert>

#include "config/option_enums.hpp"
#include "data/example_file.hpp"
#include "run.pb.h"

namespace switchyard {
namespace {

MoeConfig read_moe(const MoeOptions& options, double dropout_rate) {
  return {.num_experts = options.num_experts(),
          .capacity_factor = options.capacity_factor(),
          .eval_capacity_factor = options.eval_capacity_factor(),
          .min_capacity = options.min_capacity(),
          .dropless = options.dropless(),
          .eval_dropless = options.eval_dropless(),
          .aux_loss_coef = options.aux_loss_coef(),
          .z_loss_coef = options.z_loss_coef(),
          .jitter_eps = options.jitter_eps(),
          .router_precision = from_option<Precision>(options.router_precision()),
          .encoder_routing = from_option<RoutingMethod>(options.routing()),
          .decoder_routing = from_option<RoutingMethod>(
              options.has_decoder_routing() ? options.decoder_routing() : options.routing()),
          .router_topk = options.router_topk(),
          .normalize_gates = options.normalize_gates(),
          .second_policy = from_option<SecondPolicy>(options.second_policy()),
          .second_threshold = static_cast<float>(options.second_threshold()),
          .ntlb_top_k = options.ntlb_top_k(),
          .drop_policy = from_option<DropPolicy>(options.drop_policy()),
          .load_balancing = from_option<LoadBalancing>(options.load_balancing()),
          .bias_update_rate = options.bias_update_rate(),
          .aux_loss_scope = from_option<AuxLossScope>(options.aux_loss_scope()),
          .aux_loss_reduction = from_option<AuxLossReduction>(options.aux_loss_reduction()),
          .exploration = from_option<Exploration>(options.exploration()),
          .sample_temperature = static_cast<float>(options.sample_temperature()),
          .router_dropout_rate = static_cast<float>(options.router_dropout_rate()),
          .expert_dropout_rate = static_cast<float>(
              options.has_expert_dropout_rate() ? options.expert_dropout_rate() : dropout_rate)};
}

std::optional<AttentionWindow> read_window(const ModelOptions& options) {
  if (options.encoder_attention() == ModelOptions::FULL) return std::nullopt;
  return AttentionWindow{.reach = options.attention_window(), .globals = options.global_tokens()};
}

ModelConfig read_model(const ModelOptions& options, const MoeOptions& moe,
                       const DataOptions& data) {
  assert(options.has_vocab_size());
  return {.vocab_size = options.vocab_size(),
          .d_model = options.d_model(),
          .d_ff = options.d_ff(),
          .d_kv = options.has_d_kv() ? options.d_kv() : options.d_model() / options.num_heads(),
          .num_heads = options.num_heads(),
          .input_length = data.input_length(),
          .num_layers = options.num_layers(),
          .num_decoder_layers = options.has_num_decoder_layers() ? options.num_decoder_layers()
                                                                 : options.num_layers(),
          .encoder_sparse_step = moe.encoder_sparse_step(),
          .decoder_sparse_step = moe.decoder_sparse_step(),
          .sparse_place = from_option<SparsePlace>(moe.sparse_place()),
          .activation = from_option<Activation>(options.activation()),
          .tie_word_embeddings = options.tie_word_embeddings(),
          .encoder_window = read_window(options),
          .dropout_rate = static_cast<float>(options.dropout_rate()),
          .layer_norm_epsilon = static_cast<float>(options.layer_norm_epsilon()),
          .initializer_scale = static_cast<float>(options.initializer_scale()),
          .moe = read_moe(moe, options.dropout_rate())};
}

SpanCorruptionConfig read_spans(const DataOptions& options) {
  SpanCorruptionConfig spans;
  spans.input_length = options.input_length();
  if (options.has_target_length()) spans.target_length = options.target_length();
  spans.noise_density = options.noise_density();
  spans.mean_noise_span_length = options.mean_noise_span_length();
  return spans;
}

AdafactorConfig read_adafactor(const OptimizerOptions& options) {
  AdafactorConfig adafactor;
  adafactor.decay_exponent = options.decay_exponent();
  adafactor.clipping_threshold = options.clipping_threshold();
  adafactor.min_dim_size_to_factor = options.min_dim_size_to_factor();
  return adafactor;
}

OptimizerConfig read_optimizer(const OptimizerOptions& options) {
  switch (options.name()) {
    case OptimizerOptions::ADAMW:
      return AdamWConfig{.beta_1 = options.adam_beta1(),
                         .beta_2 = options.adam_beta2(),
                         .epsilon = options.adam_epsilon(),
                         .weight_decay = options.weight_decay()};
    case OptimizerOptions::SGD:
      return SgdConfig{.momentum = options.momentum()};
    case OptimizerOptions::ADAFACTOR:
      break;
  }
  return read_adafactor(options);
}

ScheduleConfig read_schedule(const OptimizerOptions& options) {
  return {.shape = from_option<ScheduleConfig::Shape>(options.schedule()),
          .learning_rate = options.learning_rate(),
          .warmup_steps = options.warmup_steps(),
          .linear_warmup_steps = options.linear_warmup_steps(),
          .decay_steps = options.decay_steps(),
          .final_ramp_steps = options.final_ramp_steps()};
}

void read_train(const TrainOptions& options, Settings& settings) {
  settings.model.precision = from_option<Precision>(options.precision());
  settings.model.recompute = from_option<Recompute>(options.recompute());
  settings.batch_size = options.batch_size();
  settings.accumulation_steps = options.accumulation_steps();
  settings.steps = options.steps();
  settings.seed = options.seed();
  if (options.has_max_minutes()) settings.max_minutes = options.max_minutes();
  settings.log_interval = options.log_interval();
  settings.routing_log_interval =
      options.has_routing_log_interval()
          ? options.routing_log_interval()
          : default_routing_log_interval(settings.model, options.log_interval());
  settings.eval_interval = options.eval_interval();
  settings.eval_samples = options.eval_samples();
  settings.tensorboard = options.tensorboard();
}

}  // namespace

Settings read_settings(const RunConfig& config) {
  Settings settings;
  settings.model = read_model(config.model(), config.moe(), config.data());
  settings.model.extra_loss = {
      .label_smoothing = static_cast<float>(config.train().label_smoothing()),
      .z_loss = static_cast<float>(config.train().z_loss())};
  settings.virtual_ranks = config.parallel().virtual_ranks();
  settings.groups = config.parallel().expert_replicas();
  settings.overlap_reduction = config.parallel().overlap_reduction();
  settings.two_level_exchange = config.parallel().exchange() == ParallelOptions::TWO_LEVEL;
  settings.exchange_chunks = config.parallel().exchange_chunks();
  settings.shard_optimizer =
      from_option<Settings::ShardOptimizer>(config.parallel().shard_optimizer());
  settings.examples = is_example_file(config.data().train());
  settings.spans = read_spans(config.data());
  settings.optimizer = read_optimizer(config.optimizer());
  settings.schedule = read_schedule(config.optimizer());
  settings.gradient_clipping = config.optimizer().gradient_clipping();
  read_train(config.train(), settings);
  settings.checkpoint_interval = config.checkpoint().interval();
  settings.keep_last = config.checkpoint().keep_last();
  return settings;
}

std::int64_t default_routing_log_interval(const ModelConfig& model, std::int64_t log_interval) {
  constexpr std::int64_t most_numbers_each_step = 1024;
  const std::int64_t numbers = std::int64_t{model.sparse_layers()} * model.moe.num_experts;
  return numbers <= most_numbers_each_step ? 1 : log_interval;
}

}  // namespace switchyard
