#include "checkpoint/save.hpp"

#include <algorithm>
#include <cassert>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include "base/error.hpp"
#include "checkpoint/manifest.hpp"
#include "checkpoint/share_out.hpp"
#include "checkpoint/store.hpp"
#include "comm/together.hpp"

namespace switchyard {
namespace {

std::int64_t bytes_of(const NamedTensor& tensor) { return std::ssize(std::as_bytes(tensor.data)); }

// The tensors that this process writes: those of its experts, unless the copy of another group is
// the one that is written, those that it alone holds, and its part of the other dense tensors.
// Collective.
std::vector<NamedTensor> own_share(const Comm& comm, const Layout& layout,
                                   std::span<const NamedTensor> tensors) {
  std::vector<NamedTensor> share, dense;
  for (const NamedTensor& tensor : tensors) {
    if (tensor.first) {
      assert(tensor.is_whole() || tensor.data.empty());
      if (!tensor.data.empty()) share.push_back(tensor);
    } else if (!tensor.expert) {
      dense.push_back(tensor);
    } else if (layout.owner(*tensor.expert, GroupId{0}) == comm.rank()) {
      share.push_back(tensor);
    }
  }
  std::int64_t own_bytes = 0;
  for (const NamedTensor& tensor : share) own_bytes += bytes_of(tensor);
  std::vector<std::int64_t> dense_bytes;
  for (const NamedTensor& tensor : dense) dense_bytes.push_back(bytes_of(tensor));

  const auto load = all_gather(comm, std::span<const std::int64_t>(&own_bytes, 1));
  const std::vector<Rank> writer = share_out(dense_bytes, {load.begin(), load.end()});
  for (std::size_t i = 0; i < dense.size(); ++i) {
    if (writer[i] == comm.rank()) share.push_back(dense[i]);
  }
  return share;
}

Manifest assemble(const std::vector<std::string>& shard_reports, const Layout& layout,
                  const RunState& state) {
  Manifest manifest;
  store_run_state(state, manifest);
  manifest.mutable_layout()->set_virtual_ranks(layout.virtual_ranks());
  manifest.mutable_layout()->set_processes(layout.processes());
  manifest.mutable_layout()->set_groups(layout.groups());
  manifest.mutable_layout()->set_experts(layout.experts());
  for (const std::string& text : shard_reports) {
    ShardReport report;
    if (!report.ParseFromString(text))
      throw Error(ExitCode::mismatch, "a process sent no report of its shard");
    for (ManifestTensor& tensor : *report.mutable_tensors()) {
      tensor.set_file(manifest.files_size());
      *manifest.add_tensors() = std::move(tensor);
    }
    *manifest.add_files() = report.file();
  }
  std::sort(manifest.mutable_tensors()->begin(), manifest.mutable_tensors()->end(),
            [](const auto& a, const auto& b) { return a.name() < b.name(); });
  return manifest;
}

// Throws Error(mismatch) unless every tensor known to this process was written exactly once and,
// since all experts have the same shapes, each expert has as many tensors and elements as any
// other.
void require_each_tensor_once(const Manifest& manifest, const Layout& layout,
                              std::span<const NamedTensor> known) {
  const auto require = [](bool condition, const std::string& what) {
    if (!condition) throw Error(ExitCode::mismatch, "the checkpoint would be incomplete: " + what);
  };
  std::set<std::string> written;
  std::vector<std::pair<std::int64_t, std::int64_t>> of_expert(
      static_cast<std::size_t>(layout.experts()));
  for (const ManifestTensor& tensor : manifest.tensors()) {
    require(written.insert(tensor.name()).second, "two processes wrote " + tensor.name());
    if (!tensor.has_expert()) continue;
    require(tensor.expert() < layout.experts(), tensor.name() + " belongs to no expert of the run");
    auto& [count, elements] = of_expert[static_cast<std::size_t>(tensor.expert())];
    ++count;
    elements += tensor.rows() * tensor.cols();
  }
  for (const NamedTensor& tensor : known) {
    require(written.contains(tensor.name), "no process wrote " + tensor.name);
  }
  for (std::size_t e = 1; e < of_expert.size(); ++e) {
    require(of_expert[e] == of_expert[0],
            "expert " + std::to_string(e) + " has other tensors than expert 0");
  }
}

std::string random_attempt() {
  std::random_device device;
  char text[17];
  std::snprintf(text, sizeof text, "%08x%08x", device(), device());
  return text;
}

struct Target {
  std::string parent, final_name;
  std::string shard;                        // of this process
  std::vector<std::string> subdirectories;  // for the shards of all processes
  std::string temporary_name{};
  std::string final_path() const { return parent + "/" + final_name; }
  std::string temporary_path() const { return parent + "/" + temporary_name; }
};

// Whether the target exists already and is valid; all processes read their share of it. Collective.
bool holds_valid_checkpoint(const Env& env, const Comm& comm, const Target& target) {
  const std::string there =
      on_first(comm, [&] { return std::string(env.exists(target.final_path()) ? "yes" : ""); });
  if (there.empty()) return false;
  try {
    open_valid(env, comm, target.final_path());
    return true;
  } catch (const Error& error) {  // the same error on all processes
    if (error.code() != ExitCode::damaged_data) throw;
    return false;
  }
}

// Creates the temporary directory; returns false where a valid checkpoint of this step exists.
// Collective.
bool begin(Env& env, const Comm& comm, Target& target) {
  on_first(comm, [&]() -> std::string {
    env.make_directories(target.parent);
    env.sync_directory(parent_directory(target.parent));
    return "";
  });
  if (holds_valid_checkpoint(env, comm, target)) return false;
  target.temporary_name = on_first(comm, [&] {
    std::string temporary = target.final_name + ".tmp-" + random_attempt();
    env.make_directories(target.parent + "/" + temporary);
    return temporary;
  });
  return true;
}

// Writes the manifest and renames the directory. The shards must be durable. Only process 0 calls
// it.
void commit(Env& env, const Target& target, const Manifest& manifest) {
  const auto file = env.create(target.temporary_path() + "/" + manifest_name);
  const std::string bytes = encode_manifest(manifest);
  // Never write a manifest that could not be read back.
  decode_manifest(bytes, target.temporary_path());
  file->append(std::as_bytes(std::span(bytes)));
  file->sync();
  file->close();
  for (const std::string& name : target.subdirectories)
    env.sync_directory(target.temporary_path() + "/" + name);
  env.sync_directory(target.temporary_path());
  if (env.exists(target.final_path())) retire_checkpoint(env, target.parent, target.final_name);
  env.rename(target.temporary_path(), target.final_path());
  try {
    env.sync_directory(target.parent);
  } catch (const Error&) {
    // The rename might not survive a power failure, so undo it before another process relies on it.
    env.rename(target.final_path(), target.temporary_path());
    throw;
  }
}

// Cleans up after a failed save, as far as possible; leftovers are never mistaken for a checkpoint.
// Collective.
void remove_attempt(Env& env, const Comm& comm, const Target& target) {
  const auto quietly = [](auto&& action) {
    try {
      action();
    } catch (const Error&) {
    }
  };
  quietly([&] { env.remove_file(target.temporary_path() + "/" + target.shard); });
  barrier(comm);
  if (comm.rank() == Rank{0}) quietly([&] { env.remove_tree(target.temporary_path()); });
}

TensorStream stream_of(std::span<const NamedTensor> tensors) {
  return [tensors, i = std::size_t{0}]() mutable -> std::optional<NamedTensor> {
    if (i == tensors.size()) return std::nullopt;
    return tensors[i++];
  };
}

struct Contents {
  std::function<TensorStream()> own_share;  // the tensors for this process to write; collective
  // Tensors that must be present after all processes have written.
  std::span<const NamedTensor> known;
  std::int64_t most_side_by_side = most_shards_side_by_side;
};

std::string save(Env& env, const Comm& comm, const Layout& layout,
                 const std::string& checkpoints_directory, const RunState& state,
                 const Contents& contents) {
  Target target{.parent = checkpoints_directory,
                .final_name = checkpoint_name(state.step),
                .shard = shard_name(comm.rank().value, comm.size(), contents.most_side_by_side),
                .subdirectories = shard_subdirectories(comm.size(), contents.most_side_by_side)};
  if (!begin(env, comm, target)) return target.final_path();
  try {
    const TensorStream share = contents.own_share();
    const auto reports = together(comm, [&] {
      if (!target.subdirectories.empty())
        env.make_directories(parent_directory(target.temporary_path() + "/" + target.shard));
      return write_shard(env, target.temporary_path(), target.shard, share).SerializeAsString();
    });
    on_first(comm, [&]() -> std::string {
      const Manifest manifest = assemble(reports, layout, state);
      require_each_tensor_once(manifest, layout, contents.known);
      commit(env, target, manifest);
      return "";
    });
  } catch (const Error&) {
    remove_attempt(env, comm, target);
    throw;
  }
  return target.final_path();
}

}  // namespace

std::string save_checkpoint(Env& env, const Comm& comm, const Layout& layout,
                            const std::string& checkpoints_directory, const RunState& state,
                            std::span<const NamedTensor> tensors, std::int64_t most_side_by_side) {
  std::vector<NamedTensor> share;
  const auto stream = [&] {
    share = own_share(comm, layout, tensors);
    return stream_of(share);
  };
  return save(env, comm, layout, checkpoints_directory, state,
              {stream, tensors, most_side_by_side});
}

std::string save_checkpoint(Env& env, const Comm& alone, const Layout& layout,
                            const std::string& checkpoints_directory, const RunState& state,
                            const TensorStream& next_tensor) {
  assert(alone.size() == 1);
  return save(env, alone, layout, checkpoints_directory, state, {[&] { return next_tensor; }, {}});
}

}  // namespace switchyard
