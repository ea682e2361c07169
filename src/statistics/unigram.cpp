#include "statistics/unigram.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace switchyard {
namespace {

// Counts each id among the targets.
std::vector<std::int64_t> count_targets(const Vocabulary& vocabulary, const ExampleSource& source,
                                        std::int64_t samples) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(vocabulary.ids()), 0);
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    for (const std::int32_t id : source.example(sample).targets)
      ++counts[static_cast<std::size_t>(id)];
  }
  return counts;
}

// The mean of -log p over the tokens counted in `tested`, restricted to ids that `included`
// accepts.
template <class Predicate>
double cross_entropy(const std::vector<std::int64_t>& learnt,
                     const std::vector<std::int64_t>& tested, const Predicate& included) {
  double learnt_total = 0;
  for (std::size_t id = 0; id < learnt.size(); ++id) {
    if (included(static_cast<std::int32_t>(id)))
      learnt_total += static_cast<double>(learnt[id] + 1);
  }
  double nats = 0, tokens = 0;
  for (std::size_t id = 0; id < learnt.size(); ++id) {
    if (!included(static_cast<std::int32_t>(id))) continue;
    tokens += static_cast<double>(tested[id]);
    nats -= static_cast<double>(tested[id]) *
            std::log(static_cast<double>(learnt[id] + 1) / learnt_total);
  }
  return nats / std::max(tokens, 1.0);
}

}  // namespace

UnigramLoss unigram_loss(const Vocabulary& vocabulary, const ExampleSource& training,
                         std::int64_t training_samples, const ExampleSource& validation,
                         std::int64_t validation_samples) {
  const auto learnt = count_targets(vocabulary, training, training_samples);
  const auto tested = count_targets(vocabulary, validation, validation_samples);
  return {.loss = cross_entropy(learnt, tested, [](std::int32_t) { return true; }),
          .loss_text = cross_entropy(learnt, tested,
                                     [&](std::int32_t id) { return vocabulary.is_text(id); })};
}

}  // namespace switchyard
