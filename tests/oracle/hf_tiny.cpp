#include "oracle/hf_tiny.hpp"

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
  const auto expected = nlohmann::json::parse(read(directory + "/expected.json"));
  return {read_batch(expected), expected};
}

Batch first_rows(const HfTiny& fixture, std::int64_t rows, int virtual_ranks) {
  Batch batch = slice(fixture.batch, {VirtualRank(0), VirtualRank(rows)});
  count_tokens(batch);
  batch.rows = rows / virtual_ranks;
  return batch;
}

}  // namespace switchyard::test
