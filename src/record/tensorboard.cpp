#include "record/tensorboard.hpp"

#include <google/protobuf/text_format.h>

#include <cassert>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "run.pb.h"

namespace switchyard {
namespace {

namespace pb = google::protobuf;
using tensorboard::Summary;

std::vector<const pb::FieldDescriptor*> set_fields(const pb::Message& message) {
  std::vector<const pb::FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  return fields;
}

void add_scalar(const std::string& tag, double value, Summary& summary) {
  Summary::Value& scalar = *summary.add_value();
  scalar.set_tag(tag);
  scalar.set_simple_value(static_cast<float>(value));
}

// Adds every number in the message itself, with the tag "prefix" + its JSON name.
void add_scalars(const pb::Message& message, const std::string& prefix, Summary& summary) {
  const pb::Reflection& get = *message.GetReflection();
  for (const pb::FieldDescriptor* field : set_fields(message)) {
    if (field->is_repeated()) continue;
    const std::string tag = prefix + field->json_name();
    if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_DOUBLE)
      add_scalar(tag, get.GetDouble(message, field), summary);
    if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_INT64)
      add_scalar(tag, static_cast<double>(get.GetInt64(message, field)), summary);
  }
}

void add_histogram(const std::string& tag, const pb::RepeatedField<std::int64_t>& tokens,
                   Summary& summary) {
  Summary::Value& value = *summary.add_value();
  value.set_tag(tag);
  tensorboard::Histogram& histogram = *value.mutable_histogram();
  double num = 0, sum = 0, sum_squares = 0;
  for (int e = 0; e < tokens.size(); ++e) {
    const auto count = static_cast<double>(tokens[e]);
    histogram.add_bucket_limit(e + 1);
    histogram.add_bucket(count);
    if (count == 0) continue;
    if (num == 0) histogram.set_min(e);
    histogram.set_max(e + 1);
    num += count;
    sum += e * count;
    sum_squares += 1.0 * e * e * count;
  }
  histogram.set_num(num);
  histogram.set_sum(sum);
  histogram.set_sum_squares(sum_squares);
}

// Adds a value with a tag that one of TensorBoard's plugins displays.
Summary::Value& add_tensor(const std::string& tag, const std::string& plugin, Summary& summary) {
  Summary::Value& value = *summary.add_value();
  value.set_tag(tag);
  value.mutable_metadata()->mutable_plugin_data()->set_plugin_name(plugin);
  value.mutable_metadata()->set_data_class(tensorboard::Metadata::TENSOR);
  return value;
}

void add_text(const std::string& tag, const std::string& markdown, Summary& summary) {
  tensorboard::Tensor& tensor = *add_tensor(tag, "text", summary).mutable_tensor();
  tensor.set_dtype(tensorboard::Tensor::STRING);
  tensor.mutable_tensor_shape();  // a scalar (rank 0)
  tensor.add_string_val(markdown);
}

pb::Value value_of(const pb::Message& block, const pb::FieldDescriptor& option) {
  const pb::Reflection& get = *block.GetReflection();
  pb::Value value;
  switch (option.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_BOOL:
      value.set_bool_value(get.GetBool(block, &option));
      break;
    case pb::FieldDescriptor::CPPTYPE_INT32:
      value.set_number_value(get.GetInt32(block, &option));
      break;
    case pb::FieldDescriptor::CPPTYPE_INT64:
      value.set_number_value(static_cast<double>(get.GetInt64(block, &option)));
      break;
    case pb::FieldDescriptor::CPPTYPE_UINT64:
      value.set_number_value(static_cast<double>(get.GetUInt64(block, &option)));
      break;
    case pb::FieldDescriptor::CPPTYPE_DOUBLE:
      value.set_number_value(get.GetDouble(block, &option));
      break;
    case pb::FieldDescriptor::CPPTYPE_ENUM:
      value.set_string_value(get.GetEnum(block, &option)->name());
      break;
    default:
      assert(option.cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING);
      value.set_string_value(get.GetString(block, &option));
  }
  return value;
}

// The plugin reads only the metadata; the value is an empty tensor.
void add_hyper_parameters(const RunConfig& config, Summary& summary) {
  tensorboard::HParamsPluginData content;
  auto& values = *content.mutable_session_start_info()->mutable_hparams();
  for (const pb::FieldDescriptor* field : set_fields(config)) {
    const pb::Message& block = config.GetReflection()->GetMessage(config, field);
    for (const pb::FieldDescriptor* option : set_fields(block))
      values[field->name() + "." + option->name()] = value_of(block, *option);
  }
  Summary::Value& value = add_tensor("_hparams_/session_start_info", "hparams", summary);
  value.mutable_metadata()->mutable_plugin_data()->set_content(content.SerializeAsString());
  value.mutable_tensor()->set_dtype(tensorboard::Tensor::FLOAT);
  value.mutable_tensor()->mutable_tensor_shape()->add_dim()->set_size(0);
}

}  // namespace

tensorboard::Summary summary_of(const StepRecord& record) {
  StepRecord figures = record;
  figures.clear_step();
  Summary summary;
  add_scalars(figures, "", summary);
  for (const auto& load : record.tokens_per_expert())
    add_histogram("moe/tokens_per_expert/" + load.layer(), load.tokens(), summary);
  for (const auto& layer : record.layers())
    add_scalars(layer, "moe/layers/" + layer.layer() + "/", summary);
  for (const auto& layer : record.layer_exchanges())
    add_scalars(layer, "time/a2a_layers/" + layer.layer() + "/", summary);
  return summary;
}

tensorboard::Summary summary_of_configuration(const std::string& config_text) {
  RunConfig config;
  const bool parsed = pb::TextFormat::ParseFromString(config_text, &config);
  assert(parsed);
  static_cast<void>(parsed);
  Summary summary;
  add_text("config/text_summary", "```\n" + config_text + "```\n", summary);
  add_hyper_parameters(config, summary);
  return summary;
}

TensorBoard::TensorBoard(Env& env, Log& log, const Start& start) : log_(log) {
  attempt([&] { file_.emplace(env, start.directory, start.host, start.step); });
  append(start.step, summary_of_configuration(start.config_text));
}

void TensorBoard::append(const StepRecord& record) { append(record.step(), summary_of(record)); }

void TensorBoard::append_added(const StepRecord& before, const StepRecord& after) {
  StepRecord added = after;
  for (const pb::FieldDescriptor* field : set_fields(before))
    added.GetReflection()->ClearField(&added, field);
  append(after.step(), summary_of(added));
}

void TensorBoard::sync() {
  if (file_) attempt([&] { file_->sync(); });
}

void TensorBoard::append(std::int64_t step, tensorboard::Summary summary) {
  if (!file_) return;
  tensorboard::Event event;
  event.set_step(step);
  *event.mutable_summary() = std::move(summary);
  attempt([&] { file_->append(std::move(event)); });
}

void TensorBoard::attempt(const std::function<void()>& write) {
  try {
    write();
  } catch (const Error& error) {
    file_.reset();
    log_.warning(std::string("TensorBoard is told nothing more until the next start: ") +
                 error.what());
  }
}

}  // namespace switchyard
