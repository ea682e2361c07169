#include "checkpoint/load.hpp"

#include <algorithm>
#include <vector>

#include "base/error.hpp"
#include "checkpoint/claims.hpp"
#include "checkpoint/share_out.hpp"
#include "comm/job.hpp"
#include "comm/together.hpp"

namespace switchyard {
namespace {

std::string expert_text(bool has_expert, std::int64_t expert) {
  return has_expert ? "of expert " + std::to_string(expert) : "dense";
}

// The index in the manifest of the stored tensor that matches `wanted` in name, shape and expert.
// Throws Error(mismatch) where there is none.
int find_stored(const Manifest& manifest, const NamedTensor& wanted) {
  const std::optional<int> index = find_tensor(manifest, wanted.name);
  if (!index) {
    throw Error(ExitCode::mismatch,
                "the checkpoint has no tensor " + wanted.name + " " +
                    shape_text({wanted.rows, wanted.cols}),
                "it was written with another model; see `switchyard inspect`");
  }
  const ManifestTensor& there = manifest.tensors(*index);
  if (there.rows() != wanted.rows || there.cols() != wanted.cols) {
    throw Error(ExitCode::mismatch,
                "the tensor " + wanted.name + " is " + shape_text({there.rows(), there.cols()}) +
                    " in the checkpoint and " + shape_text({wanted.rows, wanted.cols}) +
                    " in this model",
                "it was written with another model; see `switchyard inspect`");
  }
  const std::string stored = expert_text(there.has_expert(), there.expert());
  const std::string here =
      expert_text(wanted.expert.has_value(), wanted.expert.value_or(ExpertId{0}).value);
  if (stored != here) {
    throw Error(ExitCode::mismatch,
                "the tensor " + wanted.name + " is " + stored + " in the checkpoint and " + here +
                    " in this model",
                "it was written with another model; see `switchyard inspect`");
  }
  return *index;
}

// Throws Error(mismatch) where the checkpoint has a tensor that no process loads. Collective.
void require_all_claimed(const Comm& comm, const Manifest& manifest,
                         const std::vector<int>& stored) {
  const auto unclaimed = first_unclaimed(comm, stored, manifest.tensors_size());
  if (!unclaimed) return;
  const ManifestTensor& tensor = manifest.tensors(*unclaimed);
  throw Error(ExitCode::mismatch,
              "the checkpoint has a tensor " + tensor.name() + " " +
                  shape_text({tensor.rows(), tensor.cols()}) + " that this model does not have",
              "it was written with another model; see `switchyard inspect`");
}

// Whether each process reads what it holds of the tensor for itself alone.
bool is_own(const NamedTensor& tensor) { return tensor.expert || tensor.first; }

// A dense tensor, and the process of this host that reads it for all of them.
struct SharedTensor {
  std::size_t index;  // in `into`
  Rank reader;        // in the host's communicator
};

// Shares out the dense tensors among the processes of a host, which all get the same plan. stored:
// the index in the manifest of each tensor of `into`. Collective.
std::vector<SharedTensor> plan_readers(const Comm& host, std::span<const NamedTensor> into,
                                       std::span<const int> stored) {
  std::vector<SharedTensor> dense;
  std::int64_t own = 0;  // bytes of what this process reads for itself
  for (std::size_t i = 0; i < into.size(); ++i) {
    if (is_own(into[i])) {
      own += std::ssize(std::as_bytes(into[i].data));
    } else {
      dense.push_back({i, Rank{0}});
    }
  }
  std::ranges::sort(dense, {}, [&](const SharedTensor& tensor) { return stored[tensor.index]; });
  std::vector<std::int64_t> bytes;
  for (const SharedTensor& tensor : dense)
    bytes.push_back(std::ssize(std::as_bytes(into[tensor.index].data)));
  const auto load = all_gather(host, std::span<const std::int64_t>(&own, 1));
  const std::vector<Rank> reader = share_out(bytes, {load.begin(), load.end()});
  for (std::size_t i = 0; i < dense.size(); ++i) dense[i].reader = reader[i];
  return dense;
}

// Sends `data` of process `from` to all of the host, in pieces that one message can hold.
// Collective.
void hand_out(const Comm& host, std::span<float> data, Rank from) {
  constexpr std::size_t most = 1 << 22;  // 16 MiB
  for (; !data.empty(); data = data.subspan(std::min(most, data.size())))
    broadcast(host, data.first(std::min(most, data.size())), from);
}

}  // namespace

void load_checkpoint(const Comm& comm, const CheckpointReader& from,
                     std::span<const NamedTensor> into, Coverage coverage) {
  const Manifest& manifest = from.manifest();
  std::vector<int> stored;  // index in the manifest of the tensor into[i]
  all_or_none(comm, [&] {
    for (const NamedTensor& tensor : into) stored.push_back(find_stored(manifest, tensor));
  });
  if (coverage == Coverage::whole) require_all_claimed(comm, manifest, stored);

  const Comm host = within_host(comm);
  const std::vector<SharedTensor> shared = plan_readers(host, into, stored);
  const auto read = [&](std::size_t i) {
    const ManifestTensor& tensor = manifest.tensors(stored[i]);
    if (into[i].is_whole())
      from.read(tensor, into[i].data);
    else if (!into[i].data.empty())
      from.read_part(tensor, *into[i].first, into[i].data);
  };
  all_or_none(comm, [&] {
    for (std::size_t i = 0; i < into.size(); ++i)
      if (is_own(into[i])) read(i);
    for (const auto& [index, reader] : shared)
      if (reader == host.rank()) read(index);
  });
  for (const auto& [index, reader] : shared) hand_out(host, into[index].data, reader);
}

}  // namespace switchyard
