// From text files to a data directory: tokenizer, token files, manifest. Everything is written
// beside the output under another name and renamed at the end, so the output is complete or not
// there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "data/corpus.hpp"
#include "data/dataset.hpp"
#include "files/env.hpp"

namespace switchyard {

struct PrepareOptions {
  std::vector<std::string> input;       // file patterns
  std::vector<std::string> validation;  // file patterns; none: every 100th document of the input
  std::optional<std::int32_t>
      pieces;  // vocabulary to train; with a given tokenizer: must equal its
  std::optional<std::string> tokenizer;  // a SentencePiece model to use instead
  bool line_is_document = false;         // in .txt files
  std::string output;
};

struct PrepareResult {
  DatasetManifest manifest;
  bool held_out = false;  // validation was taken from the input
};

// Progress and damage go to `log`. The output does not depend on the number of threads. Memory does
// not grow with the corpus. Errors: Error(output_not_writable) where the output exists or cannot be
// made, before anything is read; those of corpus.hpp and tokenizer.hpp; Error(missing_input): no
// document.
PrepareResult prepare(Env& env, const PrepareOptions& options, Log& log);

}  // namespace switchyard
