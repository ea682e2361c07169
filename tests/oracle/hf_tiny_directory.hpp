// The path of Hugging Face's reference model, for tests that pass it to the program.
#pragma once

#include <string>

namespace switchyard::test {

inline const std::string hf_tiny = HF_TINY_DIRECTORY;

}  // namespace switchyard::test
