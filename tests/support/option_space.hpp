// The runs that could be: each option is one entry of a table, and a run is a row of numbers, one
// an option, that picks a value of each. Any row of numbers is a run that the program accepts, so
// neither drawing nor shrinking needs a rule. Knows nothing of how a run is started.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace switchyard::test {

// Option -> value. A name with a dot is the program's ("model.d_model"), and its value may be
// "unset"; one without says where and how the run takes place.
using Values = std::map<std::string, std::string>;

std::int64_t number(const Values& values, const std::string& name);

// "model.d_model=8" for each option of the program that is set: what stands behind --set.
std::vector<std::string> assignments(const Values& values);

struct Option {
  std::string name;
  // The simplest first; at least one. They may depend on the options before this one in the table;
  // a choice then does best to mean the same whatever those are, so that they can shrink alone.
  std::function<std::vector<std::string>(const Values& before)> choices;
};

class OptionSpace {
 public:
  explicit OptionSpace(std::vector<Option> options) : options_(std::move(options)) {}

  const std::vector<Option>& options() const { return options_; }

  // Each choice is equally likely. The same on every machine. What an option draws hangs on its
  // name and not on its neighbours in the table: a new entry leaves the others' draws as they were.
  std::vector<std::size_t> draw(std::uint64_t seed) const;

  // A number beyond an option's last choice means the last. row: one number per option.
  Values values(const std::vector<std::size_t>& row) const;

 private:
  std::vector<Option> options_;
};

// The whole space of `switchyard train` on tiny models: every option that can change a number of a
// run, then the two places it is carried on at:
//   processes, threads              where it begins
//   stop_after                      the step after which it stops to move; 0: it never does
//   processes_after, threads_after  where it goes on
OptionSpace run_options();

}  // namespace switchyard::test
