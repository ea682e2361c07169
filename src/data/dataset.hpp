// A prepared data directory, opened and checked: its tokenizer and its two token streams. Knows the
// manifest (dataset.textproto) and no objective.
#pragma once

#include <optional>
#include <string>

#include "data/token_file.hpp"
#include "data/tokenizer.hpp"
#include "files/env.hpp"

namespace switchyard {

// The files of a data directory. A stream's name takes ".bin" and ".idx".
namespace dataset_files {
inline constexpr const char* manifest = "dataset.textproto";
inline constexpr const char* tokenizer = "tokenizer.model";
inline constexpr const char* train = "train";
inline constexpr const char* validation = "validation";
}  // namespace dataset_files

// What the manifest says of one stream.
struct SplitInfo {
  TokenFileWriter::Summary summary;
  std::string source;  // for people
};

struct DatasetManifest {
  Vocabulary vocabulary;
  std::string tokenizer_sha256;
  SplitInfo train, validation;
};

std::string to_text(const DatasetManifest& manifest);
// Error(damaged_data) names `path` and line; Error(mismatch) for a newer format.
DatasetManifest parse_manifest(const std::string& text, const std::string& path);

class Dataset {
 public:
  // Checks the manifest, the tokenizer's hash and the structure and sizes of the token files. The
  // tokens are not read: verify() does. Error(missing_input): no prepared data there;
  // Error(damaged_data); Error(mismatch): tokenizer.model is not the one the tokens were made with.
  static Dataset open(const Env& env, const std::string& directory);

  const std::string& directory() const { return directory_; }
  const DatasetManifest& manifest() const { return manifest_; }
  const Vocabulary& vocabulary() const { return manifest_.vocabulary; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const TokenFile& train() const { return train_; }
  const TokenFile& validation() const { return validation_; }

  // What a run on the training stream is bound to: 64 hex digits each.
  std::string data_digest() const;
  const std::string& tokenizer_digest() const { return manifest_.tokenizer_sha256; }

  // Tells what this process sees there from what another may see on its own disk or under another
  // mount: equal on processes of one host that read the same files.
  std::string view(const Env& env) const;
  // Reads both streams whole and compares their hashes: Error(damaged_data) names the file. One
  // process of those with the same view need do it.
  void verify(const Env& env) const;
  void verify_validation(const Env& env) const;  // that stream alone

 private:
  Dataset(std::string directory, DatasetManifest manifest, Tokenizer tokenizer, TokenFile train,
          TokenFile validation);

  std::string directory_;
  DatasetManifest manifest_;
  Tokenizer tokenizer_;
  TokenFile train_, validation_;
};

}  // namespace switchyard
