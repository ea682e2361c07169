// What a run trains on and is measured by, of either kind: prepared data, or files of examples.
// Opens and checks; what the data is for is the trainer's business.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cli/model_vocabulary.hpp"
#include "comm/comm.hpp"
#include "data/dataset.hpp"
#include "data/example_file_source.hpp"
#include "data/tokenizer.hpp"
#include "files/env.hpp"
#include "record/run_directory.hpp"
#include "run.pb.h"
#include "train/trainer.hpp"

namespace switchyard {

// What to do where hosts do not see the same file.
inline constexpr const char* same_files_hint =
    "give every host the same files: copy them anew, or put them where all hosts see them";

// Error(mismatch) that says what differs where the processes see manifests that differ: each reads
// its own, perhaps from its own host's disk. Collective.
void require_same_data(const Comm& world, const Dataset& data);

class RunData {
 public:
  virtual ~RunData() = default;
  // Reads all of it, on each host as it sees it. Error(damaged_data) or what else is wrong, with
  // its place. Collective.
  virtual void verify(const Comm& world, const Env& env) const = 0;
  // Refers to this object.
  virtual TrainingData training_data() const = 0;
};

// By what the run's directory holds.
ModelOrigin model_origin(const Env& env, const RunPaths& run);

// What config.data says; fills in model.vocab_size where it is unset. Error(mismatch): the
// processes see different data. Collective.
std::unique_ptr<RunData> open_run_data(const Comm& world, const Env& env, const RunPaths& run,
                                       RunConfig& config);

// Tried in a child process before it is trusted. Not collective.
Tokenizer open_tokenizer(const Env& env, const std::string& path);

// The tokenizer for the texts of a file of examples: data.tokenizer, else what the run was imported
// with, else that of its prepared data; none where there is none. Error(usage): it has more pieces
// than model.vocab_size, if that is set. Collective.
std::optional<Tokenizer> find_tokenizer(const Comm& world, const Env& env, const RunPaths& run,
                                        const RunConfig& config);

// Reads every example, each process its share; the largest lengths. Collective.
ExampleLengths verify_examples(const Comm& world, const ExampleFileSource& source);

}  // namespace switchyard
