#include "interchange/hugging_face.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <vector>

#include "base/error.hpp"
#include "checkpoint/manifest.hpp"
#include "checkpoint/save.hpp"
#include "files/safe_path.hpp"

namespace switchyard {
namespace {

constexpr const char* embedding = "shared.embedding";
constexpr std::int64_t piece = 1 << 18;  // elements converted at a time

// A tensor in files of old T5 models that no model uses.
constexpr const char* unused_name =
    "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";

std::vector<std::string> split(const std::string& name) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    parts.push_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bool is_norm(const ParamSpec& spec) { return spec.name.ends_with(".norm"); }

// Kernels are [in, out] here and [out, in] at Hugging Face; the embedding and vectors have the same
// layout.
bool is_transposed(const ParamSpec& spec) { return spec.name != embedding && !is_norm(spec); }

std::vector<std::int64_t> shape_there(const ParamSpec& spec) {
  if (is_norm(spec)) return {spec.cols};
  return is_transposed(spec) ? std::vector{spec.cols, spec.rows}
                             : std::vector{spec.rows, spec.cols};
}

// The number of whole rows of `width` elements that are converted at a time.
std::int64_t rows_at_once(std::int64_t width) { return std::max<std::int64_t>(1, piece / width); }

bool have_equal_bits(const SafetensorsReader& from, const StoredTensor& a, const StoredTensor& b) {
  if (a.shape != b.shape) return false;
  std::vector<float> of_a, of_b;
  for (std::int64_t first = 0; first < a.elements(); first += piece) {
    of_a.resize(static_cast<std::size_t>(std::min(piece, a.elements() - first)));
    of_b.resize(of_a.size());
    from.read(a, first, of_a);
    from.read(b, first, of_b);
    if (std::memcmp(of_a.data(), of_b.data(), of_a.size() * sizeof(float)) != 0) return false;
  }
  return true;
}

void require_equal_bits(const SafetensorsReader& from, const StoredTensor& a,
                        const StoredTensor& b) {
  if (have_equal_bits(from, a, b)) return;
  throw Error(ExitCode::damaged_data,
              from.directory() + ": " + a.name + " and " + b.name +
                  " are one tensor of this model, but they differ",
              "set tie_word_embeddings in config.json to what the model has");
}

// Hugging Face has no router bias: an import starts with zeros, and an export is refused unless it
// is zero.
bool is_router_bias(const ParamSpec& spec) { return spec.name.ends_with(".router_bias"); }

// Maps each of the model's tensors to the directory's. Error(mismatch) unless both have the same
// tensors.
class Match {
 public:
  Match(const SafetensorsReader& from, HuggingFaceFamily family, std::span<const ParamSpec> specs)
      : from_(from) {
    const bool tied = std::ranges::find(specs, "logits", &ParamSpec::name) == specs.end();
    for (const ParamSpec& spec : specs) {
      if (is_router_bias(spec)) {
        stored_.push_back(nullptr);
        continue;
      }
      const std::string name = hugging_face_name(spec.name, family);
      stored_.push_back(&claim(spec, spec.name == embedding ? find_embedding(tied) : name));
    }
    claimed_.insert(unused_name);
    const auto strange = std::ranges::find_if(
        from.names(), [&](const std::string& name) { return !claimed_.contains(name); });
    if (strange != from.names().end())
      refuse("has the tensor " + printable(*strange) +
             ", which the model of its config.json does not have");
  }

  // Null if the directory has no such tensor.
  const StoredTensor* stored(std::size_t i) const { return stored_[i]; }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ExitCode::mismatch, from_.directory() + " " + what,
                "its weights are of another model than its config.json (or --set) describes");
  }

  const StoredTensor& claim(const ParamSpec& spec, const std::string& name) {
    const std::vector<std::int64_t> shape = shape_there(spec);
    const StoredTensor* const found = from_.find(name);
    if (!found) refuse("has no tensor " + name + " " + shape_text(shape));
    if (found->shape != shape)
      refuse("has the tensor " + name + " " + shape_text(found->shape) + ", which is " +
             shape_text(shape) + " in the model of its config.json");
    claimed_.insert(name);
    return *found;
  }

  // Returns one name under which the embedding is stored; all other names for it must hold the same
  // bits.
  std::string find_embedding(bool tied) {
    const StoredTensor* first = nullptr;
    for (const char* name : std::span(hugging_face_embedding_names).first(tied ? 4 : 3)) {
      const StoredTensor* const found = from_.find(name);
      if (!found) continue;
      if (first) require_equal_bits(from_, *first, *found);
      if (!first) first = found;
      claimed_.insert(name);
    }
    return first ? first->name : hugging_face_embedding_names[0];
  }

  const SafetensorsReader& from_;
  std::set<std::string> claimed_;
  std::vector<const StoredTensor*> stored_;
};

// Error(damaged_data) at an element that is not finite. `values`: the spec's [rows, cols], read
// from `stored`.
void require_finite(const SafetensorsReader& from, const StoredTensor& stored,
                    const ParamSpec& spec, std::span<const float> values) {
  const auto bad = std::ranges::find_if(values, [](float value) { return !std::isfinite(value); });
  if (bad == values.end()) return;
  const std::int64_t at = bad - values.begin();
  std::vector<std::int64_t> place = {at / spec.cols, at % spec.cols};
  if (is_transposed(spec)) std::swap(place[0], place[1]);
  if (is_norm(spec)) place.erase(place.begin());
  throw Error(ExitCode::damaged_data,
              from.directory() + ": the tensor " + stored.name + " is " +
                  (std::isnan(*bad) ? "NaN"
                   : *bad > 0       ? "inf"
                                    : "-inf") +
                  " at " + shape_text(place) + ": a model needs finite weights",
              "copy the directory anew from where it came, or take weights from before the model "
              "diverged");
}

// Reads `stored` [cols, rows] transposed into `into` [rows, cols].
void read_transposed(const SafetensorsReader& from, const StoredTensor& stored,
                     const ParamSpec& spec, std::span<float> into) {
  const std::int64_t rows = spec.rows, cols = spec.cols, step = rows_at_once(rows);
  std::vector<float> part;
  for (std::int64_t first = 0; first < cols; first += step) {
    const std::int64_t count = std::min(step, cols - first);
    part.resize(static_cast<std::size_t>(count * rows));
    from.read(stored, first * rows, part);
    for (std::int64_t r = 0; r < rows; ++r) {
      float* const row = into.data() + r * cols + first;
      for (std::int64_t c = 0; c < count; ++c)
        row[c] = part[static_cast<std::size_t>(c * rows + r)];
    }
  }
}

// Appends `values` [rows, cols] transposed, as [cols, rows].
void append_transposed(SafetensorsWriter& to, const ParamSpec& spec, const float* values) {
  const std::int64_t rows = spec.rows, cols = spec.cols, step = rows_at_once(rows);
  std::vector<float> part;
  for (std::int64_t first = 0; first < cols; first += step) {
    const std::int64_t count = std::min(step, cols - first);
    part.resize(static_cast<std::size_t>(count * rows));
    for (std::int64_t r = 0; r < rows; ++r) {
      const float* const row = values + r * cols + first;
      for (std::int64_t c = 0; c < count; ++c)
        part[static_cast<std::size_t>(c * rows + r)] = row[c];
    }
    to.append(part);
  }
}

void append_pieces(SafetensorsWriter& to, std::span<const float> values) {
  for (; !values.empty(); values = values.subspan(std::min<std::size_t>(piece, values.size())))
    to.append(values.first(std::min<std::size_t>(piece, values.size())));
}

const ManifestTensor& stored_parameter(const Manifest& manifest, const ParamSpec& spec) {
  const std::optional<int> index = find_tensor(manifest, spec.name);
  const ManifestTensor* at = index ? &manifest.tensors(*index) : nullptr;
  if (at != nullptr && at->rows() == spec.rows && at->cols() == spec.cols) return *at;
  throw Error(ExitCode::mismatch,
              "the checkpoint has no tensor " + spec.name + " " +
                  shape_text({spec.rows, spec.cols}) +
                  (at != nullptr ? ", but one of " + shape_text({at->rows(), at->cols()}) : ""),
              "it was written with another model; see `switchyard inspect`");
}

void require_zeros(const Tensor<float>& bias, const ParamSpec& spec) {
  if (std::ranges::all_of(bias.flat(), [](float b) { return b == 0; })) return;
  throw Error(ExitCode::mismatch,
              "Hugging Face has no model with a bias on the choice of experts, and " + spec.name +
                  " is not zero (moe.load_balancing BIAS)",
              "this checkpoint can be trained and evaluated here, not exported");
}

}  // namespace

std::string hugging_face_name(const std::string& name, HuggingFaceFamily family) {
  if (name == embedding) return hugging_face_embedding_names[0];
  if (name == "logits") return "lm_head.weight";
  const std::vector<std::string> parts = split(name);  // "stack.block.i.sublayer.tensor…"
  const std::string& stack = parts[0];
  if (parts[1] == "norm") return stack + ".final_layer_norm.weight";
  if (parts[1] == "relative_bias")
    return stack + ".block.0.layer.0.SelfAttention.relative_attention_bias.weight";
  const std::string& sublayer = parts[3];
  const bool crosses = sublayer == "cross_attention", feeds = sublayer == "feed_forward";
  const int place = feeds ? (stack == "decoder" ? 2 : 1) : crosses;
  const std::string layer = stack + ".block." + parts[2] + ".layer." + std::to_string(place) + ".";
  if (parts[4] == "norm") return layer + "layer_norm.weight";
  if (!feeds)
    return layer + (crosses ? "EncDecAttention." : "SelfAttention.") + parts[4] + ".weight";
  const std::string mlp = layer + (family == HuggingFaceFamily::t5 ? "DenseReluDense." : "mlp.");
  if (parts[4] == "router") return mlp + "router.classifier.weight";
  if (parts[4] == "experts") return mlp + "experts.expert_" + parts[5] + "." + parts[6] + ".weight";
  return mlp + parts[4] + ".weight";
}

void require_own_logits(const SafetensorsReader& from) {
  const StoredTensor* const logits = from.find("lm_head.weight");
  const StoredTensor* shared = nullptr;
  for (const char* name : std::span(hugging_face_embedding_names).first(3))
    if (!shared) shared = from.find(name);
  if (logits && (!shared || !have_equal_bits(from, *shared, *logits))) return;
  throw Error(ExitCode::mismatch,
              from.directory() +
                  ": scale_decoder_outputs false with tie_word_embeddings true, and no "
                  "lm_head.weight but the embedding, is no model of this program",
              "it has logits with weights of their own, or the embedding with scaled outputs");
}

std::string import_weights(Env& env, const SafetensorsReader& from, HuggingFaceFamily family,
                           std::span<const ParamSpec> specs, const ImportTarget& to) {
  const Match match(from, family, specs);
  std::int64_t largest = 0;
  for (const ParamSpec& spec : specs) largest = std::max(largest, spec.rows * spec.cols);
  std::vector<float> values(static_cast<std::size_t>(largest));
  std::size_t i = 0;
  const TensorStream next = [&]() -> std::optional<NamedTensor> {
    if (i == specs.size()) return std::nullopt;
    const ParamSpec& spec = specs[i];
    const auto data = std::span(values).first(static_cast<std::size_t>(spec.rows * spec.cols));
    const StoredTensor* const stored = match.stored(i++);
    if (!stored) {
      std::ranges::fill(data, 0.0f);
    } else if (is_transposed(spec)) {
      read_transposed(from, *stored, spec, data);
    } else {
      from.read(*stored, 0, data);
    }
    if (stored) require_finite(from, *stored, spec, data);
    return NamedTensor{spec.name, spec.rows, spec.cols, spec.expert, data};
  };
  return save_checkpoint(env, to.alone, to.layout, to.checkpoints_directory, to.state, next);
}

std::int64_t export_weights(Env& env, const CheckpointReader& from, HuggingFaceFamily family,
                            std::span<const ParamSpec> specs, const ExportTarget& to) {
  const Manifest& manifest = from.manifest();
  std::vector<std::pair<std::string, const ParamSpec*>> order;
  for (const ParamSpec& spec : specs) {
    if (is_router_bias(spec)) {
      require_zeros(from.read(stored_parameter(manifest, spec)), spec);
    } else {
      order.emplace_back(hugging_face_name(spec.name, family), &spec);
    }
  }
  std::ranges::sort(order);
  std::vector<StoredTensor> tensors;
  for (const auto& [name, spec] : order) {
    stored_parameter(manifest, *spec);
    tensors.push_back({name, to.type, shape_there(*spec)});
  }
  SafetensorsWriter writer(env, to.directory, std::move(tensors), to.shard_bytes);
  for (const auto& [name, spec] : order) {
    const Tensor<float> stored = from.read(stored_parameter(manifest, *spec));
    if (is_transposed(*spec)) {
      append_transposed(writer, *spec, stored.data());
    } else {
      append_pieces(writer, stored.flat());
    }
  }
  writer.finish();
  return std::ssize(order);
}

}  // namespace switchyard
