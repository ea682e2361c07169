#include "oracle/hf_tiny.hpp"

#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "support/batches.hpp"

namespace switchyard::test {
namespace {

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

struct HfTensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

std::map<std::string, HfTensor> read_safetensors(const std::string& path) {
  const std::string bytes = read(path);
  std::uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), 8);
  const auto header = nlohmann::json::parse(bytes.substr(8, header_size));
  std::map<std::string, HfTensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const std::size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    HfTensor t{entry["shape"], std::vector<float>((end - begin) / sizeof(float))};
    std::memcpy(t.values.data(), bytes.data() + 8 + header_size + begin, end - begin);
    tensors.emplace(name, std::move(t));
  }
  return tensors;
}

// [rows, cols] -> [cols, rows]
std::vector<float> transposed(const HfTensor& t) {
  const std::int64_t rows = t.shape[0], cols = t.shape[1];
  std::vector<float> out(t.values.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c)
      out[static_cast<std::size_t>(c * rows + r)] =
          t.values[static_cast<std::size_t>(r * cols + c)];
  }
  return out;
}

ModelConfig read_config(const std::string& path) {
  const auto json = nlohmann::json::parse(read(path));
  ModelConfig config;
  config.vocab_size = json["vocab_size"];
  config.d_model = json["d_model"];
  config.d_ff = json["d_ff"];
  config.d_kv = json["d_kv"];
  config.num_heads = json["num_heads"];
  config.num_layers = json["num_layers"];
  config.num_decoder_layers = json["num_decoder_layers"];
  config.encoder_sparse_step = json["encoder_sparse_step"];
  config.decoder_sparse_step = json["decoder_sparse_step"];
  config.moe.num_experts = json["num_experts"];
  config.moe.aux_loss_coef = config.moe.z_loss_coef = config.moe.jitter_eps = 0;
  return config;
}

void name_tensors(HfTiny& fixture) {
  auto& names = fixture.hf_name;
  names["shared.embedding"] = "shared.weight";
  for (const bool decoder : {false, true}) {
    const std::string stack = decoder ? "decoder" : "encoder";
    names[stack + ".norm"] = stack + ".final_layer_norm.weight";
    names[stack + ".relative_bias"] =
        stack + ".block.0.layer.0.SelfAttention.relative_attention_bias.weight";
    const int blocks = decoder ? fixture.config.num_decoder_layers : fixture.config.num_layers;
    for (int i = 0; i < blocks; ++i) {
      const std::string ours = stack + ".block." + std::to_string(i), theirs = ours + ".layer.";
      const std::string self = ours + (decoder ? ".self_attention" : ".attention");
      const auto attention = [&](const std::string& mine, const std::string& layer,
                                 const std::string& kind) {
        for (const char* kernel : {"q", "k", "v", "o"})
          names[mine + "." + kernel] = theirs + layer + "." + kind + "." + kernel + ".weight";
        names[mine + ".norm"] = theirs + layer + ".layer_norm.weight";
      };
      attention(self, "0", "SelfAttention");
      if (decoder) attention(ours + ".cross_attention", "1", "EncDecAttention");
      const std::string mlp = ours + ".feed_forward", layer = theirs + (decoder ? "2" : "1");
      names[mlp + ".norm"] = layer + ".layer_norm.weight";
      if (!fixture.config.is_sparse(decoder, i)) {
        for (const char* kernel : {"wi", "wo"})
          names[mlp + "." + kernel] = layer + ".mlp." + kernel + ".weight";
        continue;
      }
      names[mlp + ".router"] = layer + ".mlp.router.classifier.weight";
      for (int e = 0; e < fixture.config.moe.num_experts; ++e) {
        for (const char* kernel : {"wi", "wo"}) {
          names[mlp + ".experts." + std::to_string(e) + "." + kernel] =
              layer + ".mlp.experts.expert_" + std::to_string(e) + "." + kernel + ".weight";
        }
      }
    }
  }
}

Batch read_batch(const nlohmann::json& expected) {
  Batch batch;
  batch.rows = 1;
  batch.input_length = static_cast<std::int64_t>(expected["input_ids"][0].size());
  batch.target_length = static_cast<std::int64_t>(expected["labels"][0].size());
  for (std::size_t r = 0; r < expected["input_ids"].size(); ++r) {
    std::int32_t length = 0, target_length = 0;
    for (std::int32_t id : expected["input_ids"][r]) batch.inputs.push_back(id);
    for (std::int32_t bit : expected["attention_mask"][r]) length += bit;
    for (std::int32_t id : expected["labels"][r]) {
      batch.targets.push_back(id < 0 ? 0 : id);
      target_length += id >= 0;
    }
    batch.input_lengths.push_back(length);
    batch.target_lengths.push_back(target_length);
    batch.samples.push_back(static_cast<std::int64_t>(r));
  }
  count_tokens(batch);
  return batch;
}

}  // namespace

HfTiny load_hf_tiny(const std::string& directory) {
  HfTiny fixture;
  fixture.config = read_config(directory + "/config.json");
  fixture.expected = nlohmann::json::parse(read(directory + "/expected.json"));
  fixture.batch = read_batch(fixture.expected);
  name_tensors(fixture);
  const auto tensors = read_safetensors(directory + "/model.safetensors");
  for (const auto& [ours, theirs] : fixture.hf_name) {
    const HfTensor& t = tensors.at(theirs);
    // The embedding is [W, D] on both sides, vectors have no orientation, the rest is transposed.
    fixture.weights[ours] =
        t.shape.size() == 1 || ours == "shared.embedding" ? t.values : transposed(t);
  }
  return fixture;
}

Batch first_rows(const HfTiny& fixture, std::int64_t rows, int virtual_ranks) {
  Batch batch = slice(fixture.batch, {VirtualRank(0), VirtualRank(rows)});
  count_tokens(batch);
  batch.rows = rows / virtual_ranks;
  return batch;
}

}  // namespace switchyard::test
