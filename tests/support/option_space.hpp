// The space of possible runs: each option is an entry of a table, and a run is a row of numbers,
// one per option, each of which selects a value. Every row of numbers is a run that the program
// accepts, so drawing and shrinking need no further rules. It does not know how a run is started.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace switchyard::test {

// Option -> value. A name with a dot is an option of the program ("model.d_model"), whose value may
// be "unset"; a name without a dot says where and how the run is executed.
using Values = std::map<std::string, std::string>;

std::int64_t number(const Values& values, const std::string& name);

// "model.d_model=8" for each option of the program that is set: the arguments of --set.
std::vector<std::string> assignments(const Values& values);

struct Option {
  std::string name;
  // Values from simplest to most complex; at least one. They may depend on earlier options in the
  // table; as far as possible, a choice should stand for the same value regardless of them, so that
  // options can shrink independently.
  std::function<std::vector<std::string>(const Values& before)> choices;
};

class OptionSpace {
 public:
  explicit OptionSpace(std::vector<Option> options) : options_(std::move(options)) {}

  const std::vector<Option>& options() const { return options_; }

  // Each choice is equally likely, and the same on every machine. The draw for an option depends on
  // its name and not on its position: a new entry does not change the draws of the others.
  std::vector<std::size_t> draw(std::uint64_t seed) const;

  // row: one number per option. A number beyond an option's last choice selects the last.
  Values values(const std::vector<std::size_t>& row) const;

 private:
  std::vector<Option> options_;
};

// The whole space of `switchyard train` on tiny models: every option that can change a number of a
// run, and the two layouts on which it is executed:
//   processes, threads              where it begins
//   stop_after                      the step after which it moves; 0: it never does
//   processes_after, threads_after  where it continues
//   processes_after, threads_after  where it goes on
OptionSpace run_options();

}  // namespace switchyard::test
