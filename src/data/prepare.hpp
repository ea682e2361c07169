// From text files to a data directory: tokenizer, token files, manifest. Everything is written
// under a temporary name next to the output and renamed at the end, so that the output is either
// complete or absent.
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
  std::vector<std::string> input;  // file patterns
  // File patterns; if empty, every 100th document of the input.
  std::vector<std::string> validation;
  std::optional<std::int32_t>
      pieces;  // vocabulary to train; must equal the size of a given tokenizer
  std::optional<std::string> tokenizer;  // a SentencePiece model to use instead
  CorpusRules rules;
  std::optional<double> character_coverage;  // for a trained tokenizer; see TokenizerTraining
  bool byte_fallback = false;
  std::string output;
};

struct PrepareResult {
  DatasetManifest manifest;
  bool held_out = false;  // validation was taken from the input
  // The number of pieces in each stream that the tokenizer does not know.
  std::int64_t unknown_train = 0, unknown_validation = 0;
  std::int64_t shared_documents = 0;  // validation documents that also occur in the training stream
};

// Progress and damage are reported to `log`. The output does not depend on the number of threads,
// and memory does not grow with the training text. Errors: Error(output_not_writable), before
// anything is read, where the output exists or cannot be created; those of file_patterns.hpp,
// corpus.hpp and tokenizer.hpp; Error(missing_input): no document was found; Error(usage): all of
// the input is validation text. Not collective.
PrepareResult prepare(Env& env, const PrepareOptions& options, Log& log);

}  // namespace switchyard
