#include "cli/machine_file.hpp"

#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/error.hpp"
#include "data/text_format_error.hpp"
#include "files/env.hpp"
#include "machine.pb.h"
#include "report/numbers.hpp"

namespace switchyard {
namespace {

constexpr char how[] = "`switchyard benchmark --calibrate FILE` writes a whole one";
constexpr std::int64_t largest_file = 1 << 20;
constexpr double giga = 1e9, nano = 1e-9, micro = 1e-6;

[[noreturn]] void refuse_machine(const std::string& what) {
  throw Error(ExitCode::usage, what, how);
}

MachineFile parse(const std::string& path, const std::string& text) {
  TextFormatError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.SetRecursionLimit(8);
  MachineFile file;
  if (!parser.ParseFromString(text, &file)) refuse_machine(path + ":" + error.text());
  return file;
}

// Lists of a later file replace those of an earlier one: merging would append.
void merge(const MachineFile& from, MachineFile& into) {
  if (from.has_float32()) into.clear_float32();
  if (from.has_bfloat16()) into.clear_bfloat16();
  into.MergeFrom(from);
}

// Reads the fields of the merged files; `where` names them in messages.
class Reader {
 public:
  explicit Reader(std::string where) : where_(std::move(where)) {}

  Machine read(const MachineFile& file) const {
    Machine machine;
    machine.processes_per_host =
        count(file.has_processes_per_host(), file.processes_per_host(), "processes_per_host");
    machine.threads = count(file.has_threads(), file.threads(), "threads");
    machine.float32 = products(file.has_float32(), file.float32(), "float32");
    machine.bfloat16 = products(file.has_bfloat16(), file.bfloat16(), "bfloat16");
    machine.memory_rate = giga * above_zero(file.has_memory_gb_per_second(),
                                            file.memory_gb_per_second(), "memory_gb_per_second");
    machine.sweeps = sweeps(file.sweeps());
    if (file.has_inside_host()) machine.inside_host = link(file.inside_host(), "inside_host");
    if (file.has_between_hosts())
      machine.between_hosts = link(file.between_hosts(), "between_hosts");
    if (file.has_overlap_gain()) {
      machine.overlap_gain = file.overlap_gain();
      if (!(machine.overlap_gain >= 0 && machine.overlap_gain <= 1))
        refuse_machine(name("overlap_gain") + " must be between 0 and 1");
    }
    return machine;
  }

 private:
  std::string name(const std::string& field) const { return where_ + ": " + field; }

  std::int64_t count(bool present, std::int64_t value, const std::string& field) const {
    if (!present) refuse_machine(name(field) + " is missing");
    if (value < 1 || value > 1'000'000)
      refuse_machine(name(field) + " must be between 1 and 1,000,000");
    return value;
  }
  double above_zero(bool present, double value, const std::string& field) const {
    if (!present) refuse_machine(name(field) + " is missing");
    if (!(value > 0 && value < 1e15)) refuse_machine(name(field) + " must be a number above 0");
    return value;
  }
  double zero_or_more(bool present, double value, const std::string& field) const {
    if (!present) refuse_machine(name(field) + " is missing");
    if (!(value >= 0 && value < 1e15)) refuse_machine(name(field) + " must be a number, 0 or more");
    return value;
  }

  template <class Sizes>
  std::vector<std::int64_t> axis(const Sizes& sizes, const std::string& field) const {
    std::vector<std::int64_t> values(sizes.begin(), sizes.end());
    if (values.empty()) refuse_machine(name(field) + " is missing");
    if (values.size() > 64 || values.front() < 1 || values.back() > 1'000'000 ||
        std::ranges::adjacent_find(values, std::greater_equal()) != values.end())
      refuse_machine(name(field) + " must be up to 64 ascending sizes between 1 and 1,000,000");
    return values;
  }

  ProductTable products(bool present, const ProductRates& rates, const std::string& field) const {
    if (!present) refuse_machine(name(field) + " is missing");
    ProductTable table{axis(rates.rows(), field + ".rows"),
                       axis(rates.outputs(), field + ".outputs"),
                       axis(rates.inputs(), field + ".inputs"),
                       {}};
    const std::size_t expected = table.rows.size() * table.outputs.size() * table.inputs.size();
    if (static_cast<std::size_t>(rates.gflops_size()) != expected) {
      refuse_machine(name(field) + ".gflops has " + grouped(rates.gflops_size()) +
                     " values, but its " + "sizes have " +
                     grouped(static_cast<std::int64_t>(expected)) + " combinations");
    }
    for (const double rate : rates.gflops())
      table.rates.push_back(giga * above_zero(true, rate, field + ".gflops"));
    return table;
  }

  SweepTimes sweeps(const SweepNanoseconds& file) const {
    SweepTimes times;
#define SWITCHYARD_READ(member, field) \
  times.member = nano * zero_or_more(file.has_##field(), file.field(), "sweeps." #field)
    SWITCHYARD_READ(attention, attention);
    SWITCHYARD_READ(scores, score);
    SWITCHYARD_READ(feed_forward, feed_forward);
    SWITCHYARD_READ(experts, expert);
    SWITCHYARD_READ(choices, choice);
    SWITCHYARD_READ(rows, row);
    SWITCHYARD_READ(logits, logit);
    SWITCHYARD_READ(embedding, embedding);
    SWITCHYARD_READ(adafactor, adafactor);
    SWITCHYARD_READ(adamw, adamw);
    SWITCHYARD_READ(step, step);
#undef SWITCHYARD_READ
    return times;
  }

  LinkTimes link(const Link& file, const std::string& field) const {
    return {
        micro * zero_or_more(file.has_microseconds_per_message(), file.microseconds_per_message(),
                             field + ".microseconds_per_message"),
        giga *
            above_zero(file.has_gb_per_second(), file.gb_per_second(), field + ".gb_per_second")};
  }

  std::string where_;
};

// Six significant digits.
std::string number(double value) { return formatted("%.6g", value); }

template <class Values, class Text>
void list(std::ostream& out, const char* field, const Values& values, Text text) {
  out << "  " << field << ": [";
  for (std::size_t i = 0; i < values.size(); ++i)
    out << (i == 0 ? "" : i % 8 == 0 && values.size() > 8 ? ",\n    " : ", ") << text(values[i]);
  out << "]\n";
}

void write(std::ostream& out, const char* field, const ProductTable& table) {
  const auto size = [](std::int64_t n) { return std::to_string(n); };
  out << field << " {\n";
  list(out, "rows", table.rows, size);
  list(out, "outputs", table.outputs, size);
  list(out, "inputs", table.inputs, size);
  list(out, "gflops", table.rates, [](double rate) { return number(rate / giga); });
  out << "}\n";
}

void write(std::ostream& out, const SweepTimes& times) {
  out << "sweeps {\n";
  for (const auto& [field, seconds] :
       std::initializer_list<std::pair<const char*, double>>{{"attention", times.attention},
                                                             {"score", times.scores},
                                                             {"feed_forward", times.feed_forward},
                                                             {"expert", times.experts},
                                                             {"choice", times.choices},
                                                             {"row", times.rows},
                                                             {"logit", times.logits},
                                                             {"embedding", times.embedding},
                                                             {"adafactor", times.adafactor},
                                                             {"adamw", times.adamw},
                                                             {"step", times.step}})
    out << "  " << field << ": " << number(seconds / nano) << "\n";
  out << "}\n";
}

void write(std::ostream& out, const char* field, const std::optional<LinkTimes>& link) {
  if (!link) return;
  out << field << " { microseconds_per_message: " << number(link->message / micro)
      << " gb_per_second: " << number(link->rate / giga) << " }\n";
}

}  // namespace

Machine read_machine_files(std::span<const std::string> paths) {
  PosixEnv env;
  MachineFile all;
  std::string where;
  for (const std::string& path : paths) {
    if (!env.exists(path) || env.is_directory(path)) {
      throw Error(ExitCode::missing_input, "--network " + path + ": there is no such file", how);
    }
    merge(parse(path, read_file(env, path, largest_file)), all);
    where += (where.empty() ? "" : ", ") + path;
  }
  return Reader(where).read(all);
}

std::string machine_text(const Machine& machine, std::span<const std::string> origin) {
  std::ostringstream out;
  out << "# proto-file: proto/machine.proto\n# proto-message: switchyard.MachineFile\n#\n";
  for (const std::string& line : origin) out << "# " << line << "\n";
  out << "processes_per_host: " << machine.processes_per_host << "\n"
      << "threads: " << machine.threads << "\n";
  write(out, "float32", machine.float32);
  write(out, "bfloat16", machine.bfloat16);
  out << "memory_gb_per_second: " << number(machine.memory_rate / giga) << "\n";
  write(out, machine.sweeps);
  write(out, "inside_host", machine.inside_host);
  write(out, "between_hosts", machine.between_hosts);
  out << "overlap_gain: " << number(machine.overlap_gain) << "  # stated, not measured\n";
  return out.str();
}

}  // namespace switchyard
