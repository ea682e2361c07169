#include "data/dataset.hpp"

#include <algorithm>
#include <span>

#include "base/error.hpp"

namespace switchyard {

namespace {

constexpr std::int64_t largest_manifest = std::int64_t{1} << 20;
constexpr std::int64_t largest_model = std::int64_t{256} << 20;

TokenFile open_split(const Env& env, const std::string& path, const SplitInfo& split,
                     const Vocabulary& vocabulary) {
  TokenFile file(env, path, vocabulary.pieces);
  if (file.documents() != split.summary.documents || file.tokens() != split.summary.tokens)
    throw Error(ExitCode::damaged_data,
                path + ".idx and .bin have " + std::to_string(file.documents()) +
                    " documents and " + std::to_string(file.tokens()) + " tokens, " +
                    dataset_files::manifest + " describes " +
                    std::to_string(split.summary.documents) + " and " +
                    std::to_string(split.summary.tokens),
                "prepare the data again");
  return file;
}

}  // namespace

Dataset::Dataset(std::string directory, DatasetManifest manifest, Tokenizer tokenizer,
                 TokenFile train, TokenFile validation)
    : directory_(std::move(directory)),
      manifest_(std::move(manifest)),
      tokenizer_(std::move(tokenizer)),
      train_(std::move(train)),
      validation_(std::move(validation)) {}

Dataset Dataset::open(const Env& env, const std::string& directory) {
  const auto path = [&](const char* name) { return directory + "/" + name; };
  const std::string manifest_path = path(dataset_files::manifest);
  if (!env.exists(manifest_path))
    throw Error(ExitCode::missing_input,
                directory + (env.exists(directory) ? " is not prepared data: it has no " +
                                                         std::string(dataset_files::manifest)
                                                   : " does not exist"),
                "name the directory that `switchyard prepare --output DIR` wrote");
  const auto manifest =
      parse_manifest(read_file(env, manifest_path, largest_manifest), manifest_path);

  const std::string model_path = path(dataset_files::tokenizer);
  const std::string model = read_file(env, model_path, largest_model);
  if (const std::string sha256 = sha256_hex(model); sha256 != manifest.tokenizer_sha256)
    throw Error(ExitCode::mismatch,
                model_path + " (" + unlike(sha256, manifest.tokenizer_sha256) +
                    ") is not the tokenizer that this data was prepared with",
                "restore the file or prepare the data again with --tokenizer");
  Tokenizer tokenizer(model, model_path);
  if (tokenizer.vocabulary() != manifest.vocabulary)
    throw Error(ExitCode::damaged_data,
                manifest_path + " says " + std::to_string(manifest.vocabulary.pieces) +
                    " pieces, its tokenizer has " + std::to_string(tokenizer.vocabulary().pieces));
  auto train = open_split(env, path(dataset_files::train), manifest.train, manifest.vocabulary);
  auto validation =
      open_split(env, path(dataset_files::validation), manifest.validation, manifest.vocabulary);
  return Dataset(directory, manifest, std::move(tokenizer), std::move(train),
                 std::move(validation));
}

std::string Dataset::data_digest() const {
  return sha256_hex(manifest_.train.summary.bin_sha256 + manifest_.train.summary.idx_sha256);
}

std::string Dataset::view(const Env& env) const {
  std::string view;
  for (const ExpectedFile& file : files()) view += env.identity(file.path) + "\n";
  return view;
}

std::vector<ExpectedFile> Dataset::files() const {
  const std::string train = directory_ + "/" + dataset_files::train,
                    validation = directory_ + "/" + dataset_files::validation;
  return {{train + ".bin", manifest_.train.summary.bin_sha256},
          {train + ".idx", manifest_.train.summary.idx_sha256},
          {validation + ".bin", manifest_.validation.summary.bin_sha256},
          {validation + ".idx", manifest_.validation.summary.idx_sha256}};
}

void Dataset::verify(const Env& env) const {
  for (const ExpectedFile& file : files()) require_digest(env, file);
}

void Dataset::verify_validation(const Env& env) const {
  const std::vector<ExpectedFile> all = files();
  for (const ExpectedFile& file : std::span(all).last(2)) require_digest(env, file);
}

void require_digest(const Env& env, const ExpectedFile& expected) {
  const auto file = env.open(expected.path);
  Sha256 hash;
  std::vector<std::byte> bytes;
  for (std::int64_t at = 0; at < file->size(); at += piece_bytes) {
    bytes.resize(static_cast<std::size_t>(std::min(piece_bytes, file->size() - at)));
    file->read_at(at, bytes);
    hash.update(bytes);
  }
  if (hash.hex() != expected.sha256)
    throw Error(ExitCode::damaged_data,
                expected.path + " is damaged: its SHA-256 is not the manifest's",
                "prepare the data again or copy it anew");
}

}  // namespace switchyard
