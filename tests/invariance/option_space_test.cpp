// The option space compared with the program: every run it draws is valid, and it omits no option
// that can change a number.
#include "support/option_space.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "base/error.hpp"
#include "config/option_fields.hpp"
#include "config/run_config.hpp"
#include "config/validate.hpp"

namespace switchyard::test {
namespace {

using Names = std::set<std::string>;
using Row = std::vector<std::size_t>;

// The program's error for a run on either of its layouts; "" if it is valid.
std::string complaint(const Values& run) {
  try {
    const RunConfig config = load_config({}, assignments(run));
    for (const char* processes : {"processes", "processes_after"})
      validate(config, static_cast<int>(number(run, processes)));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(OptionSpace, DrawsOnlyRunsThatTheProgramAccepts) {
  const OptionSpace space = run_options();
  for (std::uint64_t seed = 0; seed < 5000; ++seed)
    ASSERT_EQ(complaint(space.values(space.draw(seed))), "") << "seed " << seed;
}

// Rows that the shrinker may produce.
TEST(OptionSpace, MakesARunOfAnyRowOfNumbers) {
  const OptionSpace space = run_options();
  std::mt19937_64 numbers(1);
  Row row(space.options().size());
  for (int repeat = 0; repeat < 5000; ++repeat) {
    for (std::size_t& number : row) number = numbers() % 8;
    ASSERT_EQ(complaint(space.values(row)), "") << "row " << repeat;
  }
}

TEST(OptionSpace, DrawsEveryChoice) {
  const OptionSpace space = run_options();
  std::map<std::string, Names> drawn, offered;
  for (std::uint64_t seed = 0; seed < 5000; ++seed) {
    const Values run = space.values(space.draw(seed));
    for (const auto& [name, value] : run) drawn[name].insert(value);
    if (seed >= 200) continue;
    for (const Option& option : space.options())
      for (const std::string& choice : option.choices(run)) offered[option.name].insert(choice);
  }
  for (const auto& [name, choices] : offered)
    for (const std::string& choice : choices)
      EXPECT_TRUE(drawn[name].contains(choice)) << name << " " << choice;
}

TEST(OptionSpace, DrawsAnOptionWhateverItsNeighboursAre) {
  const OptionSpace space = run_options();
  std::vector<Option> more = space.options();
  more.insert(more.begin() + 3, {"new", [](const Values&) { return std::vector<std::string>(7); }});
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Row row = OptionSpace(more).draw(seed);
    row.erase(row.begin() + 3);
    EXPECT_EQ(row, space.draw(seed));
  }
}

// Options on which no number of a run depends, or which the test itself sets.
const Names left_out = {
    "model.vocab_size",            // the data's
    "data.train",                  // the test's
    "data.validation",             //
    "data.tokenizer",              // of files of examples
    "data.sentinels_in_text",      //
    "train.max_minutes",           // stops by the clock
    "train.log_interval",          // what is printed
    "train.routing_log_interval",  // what is written of the metrics
    "data.verify",                 // how often the data is checked
    "train.tensorboard",           // what is written beside the metrics
    "checkpoint.keep_last",        // what is kept
};

// A new option needs a line in the table of option_space.cpp, with its simplest value first.
TEST(OptionSpace, HasEveryOptionOfTheProgramAndEveryValueOfItsEnums) {
  const OptionSpace space = run_options();
  std::map<std::string, Option> table;
  for (const Option& option : space.options()) table[option.name] = option;
  const Values run = space.values(Row(table.size(), 0));
  for (const OptionField& field : option_fields(*RunConfig::descriptor())) {
    if (left_out.contains(field.path)) continue;
    ASSERT_TRUE(table.contains(field.path)) << field.path << " is not drawn";
    const auto* values = field.field().enum_type();
    if (values == nullptr) continue;
    const auto choices = table[field.path].choices(run);
    const Names drawn(choices.begin(), choices.end());
    for (int i = 0; i < values->value_count(); ++i)
      EXPECT_TRUE(drawn.contains(values->value(i)->name()))
          << field.path << " " << values->value(i)->name() << " is not drawn";
  }
}

}  // namespace
}  // namespace switchyard::test
