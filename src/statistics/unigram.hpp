// The simplest baseline: a unigram model, which predicts each token by its frequency alone. Not
// collective.
#pragma once

#include <cstdint>

#include "data/example.hpp"
#include "data/vocabulary.hpp"

namespace switchyard {

struct UnigramLoss {
  double loss = 0;       // nats per validation target
  double loss_text = 0;  // text pieces only, by a unigram model of text pieces only
};

// Frequencies are counted over the targets of training samples 0 … training_samples-1, with add-one
// smoothing over all ids (loss) or over all text pieces (loss_text). The loss is taken over the
// targets of validation samples 0 … validation_samples-1.
UnigramLoss unigram_loss(const Vocabulary& vocabulary, const ExampleSource& training,
                         std::int64_t training_samples, const ExampleSource& validation,
                         std::int64_t validation_samples);

}  // namespace switchyard
