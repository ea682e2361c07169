#include "interchange/safetensors.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdio>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/bfloat16.hpp"
#include "base/error.hpp"
#include "base/float16.hpp"
#include "files/safe_path.hpp"
#include "interchange/strict_json.hpp"

namespace switchyard {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::int64_t largest_index = 32 << 20;  // bytes; 12 MB suffice for 123,000 tensors
constexpr const char* copy_directory_hint = "copy the directory anew from where it came";

// Reads the index: the tensors of each shard.
std::map<std::string, std::set<std::string>> read_index(const Env& env, const std::string& path) {
  const nlohmann::json index = read_json(env, path, largest_index);
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object() || map->empty())
    throw Error(ExitCode::damaged_data, path + " has no weight_map", copy_directory_hint);
  std::map<std::string, std::set<std::string>> shards;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string())
      throw Error(ExitCode::damaged_data,
                  path + " names no file for the tensor " + printable(tensor), copy_directory_hint);
    shards[require_base_name(shard.get<std::string>(), path)].insert(tensor);
  }
  return shards;
}

// Widens in place: the two-byte elements are in the second half of `values`, and each is read
// before it is overwritten.
template <class Half>
void widen(std::span<float> values) {
  const auto* const halves = reinterpret_cast<const std::byte*>(values.data() + values.size()) -
                             values.size() * sizeof(Half);
  for (std::size_t i = 0; i < values.size(); ++i) {
    Half half;
    std::memcpy(&half, halves + i * sizeof(Half), sizeof half);
    values[i] = to_float(half);
  }
}

}  // namespace

SafetensorsReader::SafetensorsReader(const Env& env, const std::string& directory,
                                     std::span<const char* const> aliases)
    : directory_(directory) {
  const std::string single = directory + "/" + safetensors_file;
  if (env.exists(single)) {
    add_shard(env, single);
  } else if (env.exists(directory + "/" + safetensors_index)) {
    add_indexed_shards(env, aliases);
  } else {
    throw Error(ExitCode::missing_input,
                directory + " has neither " + safetensors_file + " nor " + safetensors_index,
                "weights are read from safetensors alone; save the model in that format first");
  }
  std::ranges::sort(places_, {}, [](const Place& place) { return place.tensor.name; });
  for (const Place& place : places_) names_.push_back(place.tensor.name);
}

void SafetensorsReader::add_shard(const Env& env, const std::string& path) {
  Shard shard{path, env.open(path), 0};
  const std::int64_t size = shard.file->size();
  std::uint64_t header_size = 0;
  if (size >= 8) shard.file->read_at(0, std::as_writable_bytes(std::span(&header_size, 1)));
  if (size < 8 || header_size > static_cast<std::uint64_t>(size - 8) ||
      header_size > std::uint64_t{largest_safetensors_header}) {
    throw Error(ExitCode::damaged_data,
                path + " has " + std::to_string(size) + " bytes and a header of " +
                    std::to_string(header_size) + ": it is truncated, or no safetensors file",
                copy_directory_hint);
  }
  std::string json(static_cast<std::size_t>(header_size), '\0');
  shard.file->read_at(8, std::as_writable_bytes(std::span(json)));
  shard.data_begin = 8 + static_cast<std::int64_t>(header_size);
  for (StoredTensor& tensor : parse_safetensors_header(json, size - shard.data_begin, path))
    places_.push_back({std::move(tensor), shards_.size()});
  shards_.push_back(std::move(shard));
}

// Each shard must hold exactly the tensors that the index lists for it. An alias may be missing if
// another alias exists, since some writers list all names of a tensor that they store once.
void SafetensorsReader::add_indexed_shards(const Env& env, std::span<const char* const> aliases) {
  const std::string index = directory_ + "/" + safetensors_index;
  const auto is_alias = [&](const std::string& name) {
    return std::ranges::find(aliases, name) != aliases.end();
  };
  const auto refuse_lost = [](const std::string& path, const std::string& name) {
    throw Error(ExitCode::damaged_data,
                path + " lacks " + printable(name) + ", which the index says it has",
                copy_directory_hint);
  };
  std::pair<std::string, std::string> lost_alias;  // the shard and the name
  for (const auto& [name, tensors] : read_index(env, index)) {
    const std::string path = directory_ + "/" + name;
    if (!env.exists(path))
      throw Error(ExitCode::missing_input, path + ", which the index names, is missing",
                  copy_directory_hint);
    const std::size_t first = places_.size();
    add_shard(env, path);
    std::set<std::string> found;
    for (std::size_t i = first; i < places_.size(); ++i) found.insert(places_[i].tensor.name);
    for (const std::string& tensor : tensors) {
      if (found.contains(tensor)) continue;
      if (!is_alias(tensor)) refuse_lost(path, tensor);
      lost_alias = {path, tensor};
    }
    for (const std::string& tensor : found) {
      if (tensors.contains(tensor)) continue;
      throw Error(ExitCode::damaged_data,
                  path + " has " + printable(tensor) + ", which the index does not say",
                  copy_directory_hint);
    }
  }
  const bool has_alias =
      std::ranges::any_of(places_, [&](const Place& place) { return is_alias(place.tensor.name); });
  if (!lost_alias.second.empty() && !has_alias) refuse_lost(lost_alias.first, lost_alias.second);
}

const SafetensorsReader::Place* SafetensorsReader::place(const std::string& name) const {
  const auto at = std::lower_bound(
      places_.begin(), places_.end(), name,
      [](const Place& place, const std::string& wanted) { return place.tensor.name < wanted; });
  return at != places_.end() && at->tensor.name == name ? &*at : nullptr;
}

const StoredTensor* SafetensorsReader::find(const std::string& name) const {
  const Place* const found = place(name);
  return found ? &found->tensor : nullptr;
}

void SafetensorsReader::read(const StoredTensor& tensor, std::int64_t first,
                             std::span<float> into) const {
  assert(first >= 0 && first + std::ssize(into) <= tensor.elements());
  const Shard& shard = shards_[place(tensor.name)->shard];
  const std::int64_t size = element_bytes(tensor.type);
  const auto bytes =
      std::as_writable_bytes(into).last(into.size() * static_cast<std::size_t>(size));
  shard.file->read_at(shard.data_begin + tensor.begin + first * size, bytes);
  if (tensor.type == ElementType::float16) widen<float16>(into);
  if (tensor.type == ElementType::bfloat16) widen<bfloat16>(into);
}

SafetensorsWriter::SafetensorsWriter(Env& env, std::string directory,
                                     std::vector<StoredTensor> tensors, std::int64_t shard_bytes)
    : env_(env), directory_(std::move(directory)), shards_(1) {
  std::int64_t bytes = 0;
  for (StoredTensor& tensor : tensors) {
    if (!shards_.back().empty() && bytes + tensor.bytes() > shard_bytes) {
      shards_.emplace_back();
      bytes = 0;
    }
    bytes += tensor.bytes();
    shards_.back().push_back(std::move(tensor));
  }
  begin_shard();
}

void SafetensorsWriter::begin_shard() {
  file_ = env_.create(directory_ + "/" + shard_name(shard_));
  const std::string header = safetensors_header(shards_[shard_]);
  file_->append(std::as_bytes(std::span(header)));
  tensor_ = 0;
  left_ = shards_[shard_].empty() ? 0 : shards_[shard_][0].elements();
}

void SafetensorsWriter::end_shard() {
  file_->sync();
  file_->close();
}

void SafetensorsWriter::append(std::span<const float> elements) {
  std::vector<bfloat16> rounded;
  while (!elements.empty()) {
    while (left_ == 0) {
      if (++tensor_ == shards_[shard_].size()) {
        end_shard();
        ++shard_;
        assert(shard_ < shards_.size());
        begin_shard();
      } else {
        left_ = shards_[shard_][tensor_].elements();
      }
    }
    const auto part = elements.first(std::min(elements.size(), static_cast<std::size_t>(left_)));
    if (shards_[shard_][tensor_].type == ElementType::float32) {
      file_->append(std::as_bytes(part));
    } else {
      rounded.resize(part.size());
      std::ranges::transform(part, rounded.begin(), to_bfloat16);
      file_->append(std::as_bytes(std::span(rounded)));
    }
    left_ -= std::ssize(part);
    elements = elements.subspan(part.size());
  }
}

void SafetensorsWriter::finish() {
  assert(left_ == 0 && shard_ + 1 == shards_.size());
  end_shard();
  if (shards_.size() == 1) return;
  nlohmann::json index;
  std::int64_t bytes = 0;
  for (std::size_t shard = 0; shard < shards_.size(); ++shard) {
    for (const StoredTensor& tensor : shards_[shard]) {
      index["weight_map"][tensor.name] = shard_name(shard);
      bytes += tensor.bytes();
    }
  }
  index["metadata"]["total_size"] = bytes;
  write_file_atomically(env_, directory_ + "/" + safetensors_index, index.dump(2) + "\n");
}

std::string SafetensorsWriter::shard_name(std::size_t shard) const {
  if (shards_.size() == 1) return safetensors_file;
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1, shards_.size());
  return name;
}

}  // namespace switchyard
