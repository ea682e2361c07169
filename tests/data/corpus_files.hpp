// Small corpora on disk for the tests of data/, and a tokenizer trained on synthetic text.
#pragma once

#include <zlib.h>

#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus.hpp"
#include "data/file_patterns.hpp"
#include "data/prepare.hpp"
#include "data/tokenizer.hpp"
#include "support/scratch_directory.hpp"
#include "support/synthetic_text.hpp"

namespace switchyard::test {

inline std::string write_text(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

inline std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// One gzip member.
inline std::string gzipped(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string bytes(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  deflate(&stream, Z_FINISH);
  bytes.resize(stream.total_out);
  deflateEnd(&stream);
  return bytes;
}

inline std::vector<std::string> documents_of(CorpusReader& reader) {
  std::vector<std::string> documents;
  while (auto document = reader.next()) documents.push_back(*document);
  return documents;
}

// A model with 300 pieces, the same on every call.
inline std::string small_model(const ScratchDirectory& scratch) {
  const std::string file = write_text(scratch.path() + "/model-text.txt", synthetic_text(200, 40));
  TokenizerTraining training;
  training.pieces = 300;
  training.rules.line_is_document = true;
  return train_tokenizer(std::vector{file}, training);
}

// Prepares `documents` lines of synthetic text in "<scratch>/data" and returns that path.
inline std::string prepare_small(const ScratchDirectory& scratch, std::int64_t documents) {
  PosixEnv env;
  Log silent(nullptr);
  PrepareOptions options;
  options.input = {write_text(scratch.path() + "/corpus.txt", synthetic_text(documents, 40))};
  options.pieces = 300;
  options.rules.line_is_document = true;
  options.output = scratch.path() + "/data";
  prepare(env, options, silent);
  return options.output;
}

}  // namespace switchyard::test
