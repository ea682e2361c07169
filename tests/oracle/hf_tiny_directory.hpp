// Where the reference model of Hugging Face stands, for tests that hand it to the program.
#pragma once

#include <string>

namespace switchyard::test {

inline const std::string hf_tiny = HF_TINY_DIRECTORY;

}  // namespace switchyard::test
