// A prepared data directory, opened and checked: its tokenizer and its two token streams. It knows
// the manifest (dataset.textproto) and no training objective.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/token_file.hpp"
#include "data/tokenizer.hpp"
#include "data/verified_stamp.hpp"
#include "files/env.hpp"

namespace switchyard {

// The files of a data directory. The name of a stream is completed by ".bin" and ".idx".
namespace dataset_files {
inline constexpr const char* manifest = "dataset.textproto";
inline constexpr const char* tokenizer = "tokenizer.model";
inline constexpr const char* train = "train";
inline constexpr const char* validation = "validation";
}  // namespace dataset_files

// The manifest's entry for one stream.
struct SplitInfo {
  TokenFileWriter::Summary summary;
  std::string source;  // a description for people
};

struct DatasetManifest {
  Vocabulary vocabulary;
  std::string tokenizer_sha256;
  SplitInfo train, validation;
};

std::string to_text(const DatasetManifest& manifest);
// Error(damaged_data) with `path` and the line; Error(mismatch) for a newer format.
DatasetManifest parse_manifest(const std::string& text, const std::string& path);

class Dataset {
 public:
  // Checks the manifest, the tokenizer's hash, and the structure and sizes of the token files. It
  // does not read the tokens; verify() does. Error(missing_input): there is no prepared data;
  // Error(damaged_data); Error(mismatch): tokenizer.model is not the one that made the tokens.
  static Dataset open(const Env& env, const std::string& directory);

  const std::string& directory() const { return directory_; }
  const DatasetManifest& manifest() const { return manifest_; }
  const Vocabulary& vocabulary() const { return manifest_.vocabulary; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const TokenFile& train() const { return train_; }
  const TokenFile& validation() const { return validation_; }

  // The identity of the training data that a run depends on: 64 hex digits each.
  std::string data_digest() const;
  const std::string& tokenizer_digest() const { return manifest_.tokenizer_sha256; }

  // Identifies the files that this process sees, as opposed to those that another process may see
  // on its own disk or under another mount. Equal for processes on one host that read the same
  // files.
  std::string view(const Env& env) const;
  // The files of both streams with the hashes that the manifest has for them: those of training,
  // then those of validation.
  std::vector<ExpectedFile> files() const;
  // Reads both streams completely and verifies their hashes: Error(damaged_data) names the file. It
  // suffices that one of the processes with the same view calls it.
  void verify(const Env& env) const;
  void verify_validation(const Env& env) const;  // the validation stream only

 private:
  Dataset(std::string directory, DatasetManifest manifest, Tokenizer tokenizer, TokenFile train,
          TokenFile validation);

  std::string directory_;
  DatasetManifest manifest_;
  Tokenizer tokenizer_;
  TokenFile train_, validation_;
};

// Reads the whole file; Error(damaged_data) where it has another SHA-256.
void require_digest(const Env& env, const ExpectedFile& file);

}  // namespace switchyard
