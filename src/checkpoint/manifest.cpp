#include "checkpoint/manifest.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <set>
#include <tuple>
#include <vector>

#include "base/error.hpp"
#include "files/safe_path.hpp"

namespace switchyard {
namespace {

// Larger than any real tensor's dimension, and small enough that size arithmetic cannot overflow.
constexpr std::int64_t largest_dimension = std::int64_t{1} << 31;
constexpr std::int64_t largest_elements = std::int64_t{1} << 50;

// "shards-012": where the shards of very many processes lie.
bool is_shard_subdirectory(std::string_view name) {
  constexpr std::string_view prefix = "shards-";
  constexpr std::size_t least_digits = 3, most_digits = 9;
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  return name.size() >= least_digits && name.size() <= most_digits &&
         name.find_first_not_of("0123456789") == std::string_view::npos;
}

// Checks one manifest; every failure names its path.
class Validator {
 public:
  Validator(const Manifest& manifest, const std::string& path) : manifest_(manifest), path_(path) {}

  void check() const {
    require(manifest_.has_step() && manifest_.step() >= 0, "it has no step");
    require(manifest_.has_samples() && manifest_.samples() >= 0, "it has no data cursor");
    require(manifest_.has_config_text() && manifest_.has_build() && manifest_.has_layout(),
            "it does not say which run wrote it");
    check_files();
    for (int i = 0; i < manifest_.tensors_size(); ++i) check_tensor(i);
    check_coverage();
  }

 private:
  void require(bool condition, const std::string& what) const {
    if (!condition) throw Error(ExitCode::damaged_data, path_ + ": " + what);
  }

  void check_files() const {
    std::set<std::string> names = {manifest_name};
    for (const ManifestFile& file : manifest_.files()) {
      require_safe_name(file.name());
      require(names.insert(file.name()).second, "it lists the file " + file.name() + " twice");
      require(file.size() >= 0 && file.sha256().size() == 32,
              "its entry of the file " + file.name() + " is incomplete");
    }
  }

  // A file lies beside the manifest, or one level below it in a directory of shards.
  void require_safe_name(const std::string& name) const {
    const std::size_t slash = name.find('/');
    const bool below = slash != name.npos && is_shard_subdirectory(name.substr(0, slash));
    require_base_name(below ? name.substr(slash + 1) : name, path_);
  }

  void check_tensor(int i) const {
    const ManifestTensor& tensor = manifest_.tensors(i);
    const std::string entry = "its entry " + std::to_string(i) + " of the tensors ";
    require(!tensor.name().empty() && std::all_of(tensor.name().begin(), tensor.name().end(),
                                                  [](char c) { return c > ' ' && c <= '~'; }),
            entry + "has no proper name");
    require(i == 0 || manifest_.tensors(i - 1).name() < tensor.name(), entry + "is out of order");
    const std::int64_t rows = tensor.rows(), cols = tensor.cols();
    require(rows >= 0 && rows <= largest_dimension && cols >= 0 && cols <= largest_dimension &&
                (cols == 0 || rows <= largest_elements / cols),
            entry + "has an impossible shape");
    require(!tensor.has_expert() || tensor.expert() >= 0, entry + "has an impossible expert");
    require(tensor.file() >= 0 && tensor.file() < manifest_.files_size() && tensor.has_file(),
            entry + "names no file");
    require(tensor.has_crc32c() && tensor.sha256().size() == 32, entry + "has no hash");
  }

  // The tensors of each file must cover it without gaps or overlaps.
  void check_coverage() const {
    std::vector<std::tuple<int, std::int64_t, std::int64_t>> extents;  // file, offset, size
    for (const ManifestTensor& t : manifest_.tensors()) {
      extents.emplace_back(t.file(), t.offset(), stored_bytes(t));
    }
    std::sort(extents.begin(), extents.end());
    std::vector<std::int64_t> end(static_cast<std::size_t>(manifest_.files_size()), 0);
    for (const auto& [file, offset, size] : extents) {
      auto& reached = end[static_cast<std::size_t>(file)];
      require(offset == reached,
              "the tensors in " + manifest_.files(file).name() + " do not lie end to end");
      reached += size;
      require(reached <= manifest_.files(file).size(),
              "a tensor ends after its file " + manifest_.files(file).name());
    }
    for (int i = 0; i < manifest_.files_size(); ++i) {
      require(end[static_cast<std::size_t>(i)] == manifest_.files(i).size(),
              "bytes of " + manifest_.files(i).name() + " belong to no tensor");
    }
  }

  const Manifest& manifest_;
  const std::string& path_;
};

}  // namespace

std::string encode_manifest(const Manifest& manifest) {
  std::string payload;
  {
    google::protobuf::io::StringOutputStream sink(&payload);
    google::protobuf::io::CodedOutputStream stream(&sink);
    stream.SetSerializationDeterministic(true);
    manifest.SerializeToCodedStream(&stream);
  }
  return frame(manifest_frame, payload);
}

Manifest decode_manifest(std::string_view bytes, const std::string& path) {
  Manifest manifest;
  if (!manifest.ParseFromString(unframe(manifest_frame, bytes, path))) {
    throw Error(ExitCode::damaged_data, path + " holds no manifest");
  }
  Validator(manifest, path).check();
  return manifest;
}

std::string read_manifest_bytes(const Env& env, const std::string& checkpoint_directory) {
  const std::string path = checkpoint_directory + "/" + manifest_name;
  if (!env.exists(path)) {
    throw Error(ExitCode::damaged_data,
                "the checkpoint " + checkpoint_directory + " has no " + manifest_name);
  }
  return read_file(env, path, manifest_frame.payload_limit + frame_overhead);
}

Manifest read_manifest(const Env& env, const std::string& checkpoint_directory) {
  return decode_manifest(read_manifest_bytes(env, checkpoint_directory),
                         checkpoint_directory + "/" + manifest_name);
}

void store_run_state(const RunState& state, Manifest& manifest) {
  manifest.set_step(state.step);
  manifest.set_samples(state.samples);
  manifest.set_config_text(state.config_text);
  manifest.set_data_digest(state.data_digest);
  manifest.set_tokenizer_digest(state.tokenizer_digest);
  if (!state.unwritten_records.empty()) manifest.set_unwritten_records(state.unwritten_records);
  ManifestBuild& build = *manifest.mutable_build();
  build.set_version(state.build.version);
  build.set_commit(state.build.commit);
  build.set_build_type(state.build.build_type);
  build.set_onednn_version(state.build.onednn_version);
  build.set_isa(state.build.isa);
  build.set_mpi(state.build.mpi);
  build.set_probe_products(state.build.probe_products);
}

RunState run_state_of(const Manifest& manifest) {
  const ManifestBuild& build = manifest.build();
  return {.step = manifest.step(),
          .samples = manifest.samples(),
          .config_text = manifest.config_text(),
          .data_digest = manifest.data_digest(),
          .tokenizer_digest = manifest.tokenizer_digest(),
          .build = {.version = build.version(),
                    .commit = build.commit(),
                    .build_type = build.build_type(),
                    .onednn_version = build.onednn_version(),
                    .isa = build.isa(),
                    .mpi = build.mpi(),
                    .probe_products = build.probe_products()},
          .unwritten_records = manifest.unwritten_records()};
}

std::int64_t tensor_bytes(const ManifestTensor& tensor) {
  return tensor.rows() * tensor.cols() * static_cast<std::int64_t>(sizeof(float));
}

std::int64_t stored_bytes(const ManifestTensor& tensor) {
  return (tensor_bytes(tensor) + tensor_alignment - 1) / tensor_alignment * tensor_alignment;
}

std::optional<int> find_tensor(const Manifest& manifest, const std::string& name) {
  const auto& tensors = manifest.tensors();
  const auto at = std::lower_bound(
      tensors.begin(), tensors.end(), name,
      [](const ManifestTensor& t, const std::string& wanted) { return t.name() < wanted; });
  if (at == tensors.end() || at->name() != name) return std::nullopt;
  return static_cast<int>(at - tensors.begin());
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text;
  for (const std::int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return '[' + text + ']';
}

}  // namespace switchyard
