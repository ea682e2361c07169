#include "checkpoint/digest.hpp"

#include "files/sha256.hpp"

namespace switchyard {

CheckpointSummary summarize_checkpoint(const CheckpointReader& checkpoint) {
  const Manifest& manifest = checkpoint.manifest();
  CheckpointSummary summary{.state = checkpoint.state(),
                            .virtual_ranks = manifest.layout().virtual_ranks(),
                            .processes = manifest.layout().processes(),
                            .groups = manifest.layout().groups(),
                            .experts = manifest.layout().experts(),
                            .files = manifest.files_size(),
                            .bytes = 0,
                            .tensors = {}};
  for (const ManifestFile& file : manifest.files()) summary.bytes += file.size();
  for (const ManifestTensor& tensor : manifest.tensors()) {
    summary.tensors.push_back(
        {.name = tensor.name(),
         .rows = tensor.rows(),
         .cols = tensor.cols(),
         .expert = tensor.has_expert() ? std::optional(ExpertId{tensor.expert()}) : std::nullopt,
         .bytes = tensor_bytes(tensor)});
  }
  return summary;
}

std::vector<TensorDigest> digest_checkpoint(const CheckpointReader& checkpoint) {
  std::vector<TensorDigest> digests;
  for (const ManifestTensor& tensor : checkpoint.manifest().tensors()) {
    checkpoint.verify(tensor);  // throws unless the bytes match the manifest's digests
    digests.push_back({tensor.name(), to_hex(std::as_bytes(std::span(tensor.sha256())))});
  }
  return digests;
}

std::string overall_digest(std::span<const TensorDigest> digests) {
  Sha256 all;
  for (const TensorDigest& digest : digests) {
    const std::string line = digest.sha256 + "  " + digest.name + "\n";
    all.update(std::as_bytes(std::span(line)));
  }
  return all.hex();
}

std::string digest_tensor(const NamedTensor& tensor) {
  return sha256_hex(std::as_bytes(tensor.data));
}

}  // namespace switchyard
