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
  CorpusRules rules;
  std::optional<double>
      character_coverage;  // of a tokenizer that is trained; see TokenizerTraining
  bool byte_fallback = false;
  std::string output;
};

struct PrepareResult {
  DatasetManifest manifest;
  bool held_out = false;  // validation was taken from the input
  // Pieces that the tokenizer does not know, of each stream.
  std::int64_t unknown_train = 0, unknown_validation = 0;
  std::int64_t shared_documents = 0;  // of validation, that occur in train too
};

// Progress and damage go to `log`. The output does not depend on the number of threads. Memory does
// not grow with the training text. Errors: Error(output_not_writable) where the output exists or
// cannot be made, before anything is read; those of file_patterns.hpp, corpus.hpp and
// tokenizer.hpp; Error(missing_input): no document; Error(usage): all the input is validation text.
PrepareResult prepare(Env& env, const PrepareOptions& options, Log& log);

}  // namespace switchyard
