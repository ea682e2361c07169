#include "checkpoint/load.hpp"

#include <algorithm>
#include <vector>

#include "base/error.hpp"
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
void require_all_claimed(const Comm& comm, const Manifest& manifest, std::span<const int> stored) {
  std::vector<std::int64_t> claimed(static_cast<std::size_t>(manifest.tensors_size()), 0);
  for (const int i : stored) claimed[static_cast<std::size_t>(i)] = 1;
  all_reduce_max(comm, claimed);
  const auto unclaimed = std::find(claimed.begin(), claimed.end(), 0);
  if (unclaimed == claimed.end()) return;
  const ManifestTensor& tensor = manifest.tensors(static_cast<int>(unclaimed - claimed.begin()));
  throw Error(ExitCode::mismatch,
              "the checkpoint has a tensor " + tensor.name() + " " +
                  shape_text({tensor.rows(), tensor.cols()}) + " that this model does not have",
              "it was written with another model; see `switchyard inspect`");
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

  all_or_none(comm, [&] {
    for (std::size_t i = 0; i < into.size(); ++i)
      from.read(manifest.tensors(stored[i]), into[i].data);
  });
}

}  // namespace switchyard
