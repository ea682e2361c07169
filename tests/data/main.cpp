// GoogleTest's main, and the child's side of try_tokenizer_model(), which starts this program
// again.
#include <gmock/gmock.h>

#include <string_view>

#include "data/tokenizer.hpp"

int main(int argc, char** argv) {
  if (argc == 2 && argv[1] == std::string_view(switchyard::tokenizer_trial_word))
    return switchyard::run_tokenizer_trial();
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
