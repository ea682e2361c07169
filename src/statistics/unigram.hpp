// The simplest model there is, as a mark to pass: each token by its frequency alone. Not
// collective.
#pragma once

#include <cstdint>

#include "data/example.hpp"
#include "data/vocabulary.hpp"

namespace switchyard {

struct UnigramLoss {
  double loss = 0;       // nats per validation target
  double loss_text = 0;  // text pieces alone, by a unigram model of text pieces alone
};

// Frequencies are those of the targets of training samples 0 … training_samples-1, add-one smoothed
// over all ids (loss) or all text pieces (loss_text); the loss is over the targets of validation
// samples 0 … validation_samples-1.
UnigramLoss unigram_loss(const Vocabulary& vocabulary, const ExampleSource& training,
                         std::int64_t training_samples, const ExampleSource& validation,
                         std::int64_t validation_samples);

}  // namespace switchyard
