// The training and validation data of a run, either prepared data or files of examples. It opens
// and checks the data; the trainer decides how they are used.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/log.hpp"
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

// The hint for hosts that do not see the same file.
inline constexpr const char* same_files_hint =
    "give every host the same files: copy them anew, or put them where all hosts see them";

// Error(mismatch), which says what differs, where processes see different manifests: each process
// reads its own, possibly from the local disk of its host. Collective.
void require_same_data(const Comm& world, const Dataset& data);

class RunData {
 public:
  virtual ~RunData() = default;
  // Reads examples completely, and prepared data where data.verify asks for it, on each host as
  // that host sees them. `run`: whose directory may not exist yet. Throws Error(damaged_data), or
  // another error, with the place. Collective.
  virtual void verify(const Comm& world, const Env& env, const RunPaths& run, Log& log) = 0;
  // Spares the next start what verify has read; the run's directory must exist. Each process calls
  // it.
  virtual void remember_verified(Env&, const RunPaths&) const {}
  // The result refers to this object, which must outlive it.
  virtual TrainingData training_data() const = 0;
};

// The origin of the model, judged by the contents of the run's directory.
ModelOrigin model_origin(const Env& env, const RunPaths& run);

// Opens the data of config.data; fills in model.vocab_size if it is unset. Error(mismatch) where
// processes see different data. Collective.
std::unique_ptr<RunData> open_run_data(const Comm& world, const Env& env, const RunPaths& run,
                                       RunConfig& config);

// Loads a tokenizer model after a trial in a child process, since a damaged one may crash. Not
// collective.
Tokenizer open_tokenizer(const Env& env, const std::string& path);

// The tokenizer for the texts in a file of examples: data.tokenizer, else the one the run was
// imported with, else that of its prepared data; nullopt where there is none. Error(usage) where it
// has more pieces than model.vocab_size, if that is set. Collective.
std::optional<Tokenizer> find_tokenizer(const Comm& world, const Env& env, const RunPaths& run,
                                        const RunConfig& config);

// Reads every example, each process a share of them; returns the largest lengths. Collective.
ExampleLengths verify_examples(const Comm& world, const ExampleFileSource& source);

}  // namespace switchyard
