#include "cli/model_vocabulary.hpp"

#include <cstdint>

#include "base/error.hpp"
#include "cli/run_data.hpp"
#include "data/example_file.hpp"
#include "files/env.hpp"

namespace switchyard {
namespace {

constexpr std::int32_t t5_vocabulary_rows = 32128;  // 32,000 pieces and 100 sentinels, padded

}  // namespace

void require_vocabulary(const ModelOptions& model, ModelOrigin origin, const Dataset& data) {
  const Vocabulary& vocabulary = data.vocabulary();
  const std::string rows = std::to_string(vocabulary.rows());
  const bool may_have_more =
      origin == ModelOrigin::import || model.vocab_size() <= vocabulary.rows();
  if (vocabulary.ids() <= model.vocab_size() && may_have_more) return;
  throw Error(ExitCode::usage,
              "model.vocab_size is " + std::to_string(model.vocab_size()) + ", but " +
                  data.directory() + " has " + std::to_string(vocabulary.ids()) +
                  " ids, padded to " + rows,
              origin == ModelOrigin::configuration
                  ? "--set model.vocab_size=" + rows + " takes the data's"
                  : "give data that was prepared with the model's own tokenizer");
}

std::string resolve_vocabulary(RunConfig& config) {
  ModelOptions& model = *config.mutable_model();
  if (model.has_vocab_size()) return "model.vocab_size";
  if (const std::string& data = config.data().train(); is_example_file(data)) {
    if (const std::string& path = config.data().tokenizer(); !path.empty()) {
      model.set_vocab_size(open_tokenizer(PosixEnv(), path).vocabulary().rows());
      return "the tokenizer's, " + path;
    }
  } else if (!data.empty()) {
    model.set_vocab_size(Dataset::open(PosixEnv(), data).vocabulary().rows());
    return "the data's, " + data;
  }
  model.set_vocab_size(t5_vocabulary_rows);
  return "assumed: T5's, since neither model.vocab_size nor the data says it";
}

}  // namespace switchyard
