#include "cli/validate.hpp"

#include <google/protobuf/message.h>

#include <cmath>
#include <limits>
#include <string>

#include "base/error.hpp"
#include "cli/option_fields.hpp"

namespace switchyard {
namespace {

using google::protobuf::FieldDescriptor;

constexpr double infinity = std::numeric_limits<double>::infinity();

// Collects sentences; each rule is one line below.
class Problems {
 public:
  explicit Problems(const RunConfig& config) : config_(config) {
    for (OptionField& option : option_fields(*RunConfig::descriptor())) {
      options_.push_back(std::move(option));
    }
  }

  void require(bool holds, const std::string& sentence) {
    if (!holds) sentences_ += (sentences_.empty() ? "" : "\n  ") + sentence;
  }

  // The option is at least `low`, where it is set or has a default.
  void at_least(double low, const std::string& path) {
    if (is_set(path)) require(value(path) >= low, told(path) + "at least " + plain(low));
  }
  void positive(const std::string& path) {
    if (is_set(path)) require(value(path) > 0, told(path) + "above 0");
  }
  // low <= option < high.
  void within(double low, double high, const std::string& path) {
    require(low <= value(path) && value(path) < high,
            told(path) + "at least " + plain(low) + " and below " + plain(high));
  }
  // 0 < option < 1.
  void fraction(const std::string& path) {
    require(0 < value(path) && value(path) < 1, told(path) + "between 0 and 1");
  }
  void all_finite() {
    for (const OptionField& option : options_) {
      if (option.field().cpp_type() != FieldDescriptor::CPPTYPE_DOUBLE) continue;
      require(std::isfinite(value(option.path)), told(option.path) + "a finite number");
    }
  }

  const std::string& sentences() const { return sentences_; }

 private:
  static std::string plain(double number) {
    std::string text = std::to_string(number);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return text;
  }

  const OptionField& find(const std::string& path) const {
    for (const OptionField& option : options_) {
      if (option.path == path) return option;
    }
    throw std::logic_error("validate: no option " + path);
  }

  bool is_set(const std::string& path) const { return value_text(config_, find(path)) != "unset"; }
  double value(const std::string& path) const { return std::stod(value_text(config_, find(path))); }
  std::string told(const std::string& path) const {
    return path + " is " + value_text(config_, find(path)) + "; it must be ";
  }

  const RunConfig& config_;
  std::vector<OptionField> options_;
  std::string sentences_;
};

void check_model(const ModelOptions& model, Problems& problems) {
  for (const char* size : {"model.d_model", "model.d_ff", "model.d_kv", "model.num_heads",
                           "model.num_layers", "model.num_decoder_layers", "model.vocab_size"}) {
    problems.at_least(1, size);
  }
  problems.require(
      model.has_d_kv() || model.num_heads() < 1 || model.d_model() % model.num_heads() == 0,
      "model.d_model (" + std::to_string(model.d_model()) +
          ") is not a multiple of model.num_heads (" + std::to_string(model.num_heads()) +
          "), and model.d_kv, the width of a head, is not set");
  problems.within(0, 1, "model.dropout_rate");
  problems.positive("model.layer_norm_epsilon");
  problems.positive("model.initializer_scale");
}

void check_moe(Problems& problems) {
  for (const char* count : {"moe.num_experts", "moe.encoder_sparse_step", "moe.decoder_sparse_step",
                            "moe.min_capacity", "moe.aux_loss_coef", "moe.z_loss_coef"}) {
    problems.at_least(0, count);
  }
  problems.positive("moe.capacity_factor");
  problems.positive("moe.eval_capacity_factor");
  problems.within(0, 1, "moe.jitter_eps");
}

void check_data(Problems& problems) {
  problems.at_least(1, "data.input_length");
  problems.at_least(1, "data.target_length");
  problems.fraction("data.noise_density");
  problems.at_least(1, "data.mean_noise_span_length");
}

void check_training(Problems& problems) {
  problems.positive("optimizer.learning_rate");
  problems.at_least(1, "optimizer.warmup_steps");
  problems.positive("optimizer.decay_exponent");
  problems.positive("optimizer.clipping_threshold");
  problems.at_least(1, "optimizer.min_dim_size_to_factor");
  problems.at_least(1, "train.batch_size");
  problems.at_least(1, "train.steps");
  problems.positive("train.max_minutes");
  problems.at_least(1, "train.log_interval");
  problems.at_least(0, "train.eval_interval");
  problems.at_least(1, "train.eval_samples");
  problems.at_least(0, "checkpoint.interval");
  problems.at_least(1, "checkpoint.keep_last");
}

void check_division(const RunConfig& config, int processes, Problems& problems) {
  const int virtual_ranks = config.parallel().virtual_ranks();
  const int batch = config.train().batch_size();
  problems.at_least(1, "parallel.virtual_ranks");
  if (virtual_ranks < 1) return;
  problems.require(processes <= virtual_ranks,
                   "there are more processes (" + std::to_string(processes) +
                       ") than parallel.virtual_ranks (" + std::to_string(virtual_ranks) +
                       "); start at most that many");
  problems.require(batch % virtual_ranks == 0,
                   "train.batch_size (" + std::to_string(batch) +
                       ") is not a multiple of parallel.virtual_ranks (" +
                       std::to_string(virtual_ranks) + "); each takes an equal part of it");
}

}  // namespace

void validate(const RunConfig& config, int processes) {
  Problems problems(config);
  problems.all_finite();
  check_model(config.model(), problems);
  check_moe(problems);
  check_data(problems);
  check_training(problems);
  check_division(config, processes, problems);
  if (!problems.sentences().empty()) {
    throw Error(ExitCode::usage, problems.sentences(),
                "change it in the configuration or with --set; `switchyard options` explains each");
  }
}

}  // namespace switchyard
