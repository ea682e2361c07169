// Expectations on an Error: its exit code and the contents of its message.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/error.hpp"

namespace switchyard::test {

// The Error that `action` throws, as "<code>: <message>"; "" if it throws none.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return std::to_string(static_cast<int>(error.code())) + ": " + error.what();
  }
  return "";
}

template <class Action>
testing::AssertionResult fails_with(ExitCode code, const std::string& words, Action&& action) {
  const std::string error = error_of(action);
  if (error.empty()) return testing::AssertionFailure() << "no error";
  const bool as_expected = error.starts_with(std::to_string(static_cast<int>(code)) + ": ") &&
                           error.find(words) != std::string::npos;
  return (as_expected ? testing::AssertionSuccess() : testing::AssertionFailure()) << error;
}

}  // namespace switchyard::test
