#include "benchmark/benchmark_report.hpp"

#include <cstdio>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "report/numbers.hpp"
#include "report/start_report.hpp"
#include "tensor/instruction_set.hpp"

namespace switchyard {
namespace {

constexpr double giga = 1e9;

std::string product_text(const ProductShape& shape) {
  return std::to_string(shape.m) + " x " + std::to_string(shape.n) + " x " +
         std::to_string(shape.k);
}

const char* precision_name(Precision precision) {
  return precision == Precision::bfloat16 ? "BFLOAT16" : "FLOAT32";
}

std::string count_text(int count, const std::string& one, const std::string& many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

// "name   value   note"
void row(std::ostream& out, const std::string& name, const std::string& value,
         const std::string& note = "") {
  out << "  " << std::left << std::setw(26) << name << std::right << std::setw(10) << value;
  if (!note.empty()) out << "  " << note;
  out << "\n";
}

void print_subject(std::ostream& out, const Benchmark& b) {
  const ModelConfig& model = b.settings.model;
  out << "model      " << model_text(model) << "\n"
      << "step       " << b.shape.rows << " rows of " << b.shape.input_length << " + "
      << b.shape.target_length << " positions, " << decimals(1, b.operations / giga)
      << " GFLOP forward and backward\n"
      << "precision  " << precision_text(model.precision) << "\n";
  if (model.sparse_layers() > 0) {
    out << "routing    " << routing_text(model)
        << (model.moe.force_load_balancing ? ", balanced by force" : "") << "\n";
  }
  out << "machine    " << count_text(b.processes, "process", "processes") << " x "
      << count_text(b.threads, "thread", "threads") << ", " << b.settings.virtual_ranks
      << " virtual ranks; oneDNN " << onednn_version() << ", " << onednn_isa() << "\n";
}

void print_machine(std::ostream& out, const Benchmark& b) {
  out << "\nproducts, GFLOP/s of all processes and threads at once, the best of "
      << rate_repetitions << "\n  " << std::left << std::setw(26) << "" << std::setw(20)
      << "M x N x K" << std::right << std::setw(10) << "FLOAT32" << std::setw(10) << "BFLOAT16"
      << "\n";
  for (const ProductRate& rate : b.products) {
    out << "  " << std::left << std::setw(26) << rate.name << std::setw(20)
        << product_text(rate.shape) << std::right << std::setw(10)
        << decimals(1, rate.float32 / giga) << std::setw(10) << decimals(1, rate.bfloat16 / giga)
        << "\n";
  }
  const std::string after = decimals(1, b.yardstick_after / giga);
  const bool narrow = b.settings.model.precision == Precision::bfloat16;
  out << "  " << std::left << std::setw(46) << "yardstick, after the steps" << std::right
      << std::setw(10) << (narrow ? "" : after) << std::setw(10) << (narrow ? after : "") << "\n";
  row(out, "memory", decimals(2, b.memory_rate / giga), "GB/s read and written by all");
  if (b.processes > 1)
    row(out, "exchange of rows", decimals(2, b.exchange_rate / giga), "GB/s leave each process");
  row(out, "sum of gradients", decimals(2, b.reduction_rate / giga), "GB/s of one gradient");
}

void print_steps(std::ostream& out, const Benchmark& b) {
  out << "\na step, ms; medians of " << b.steps << ", each phase's slowest process\n";
  const auto ms = [&](const std::string& name, double time) {
    row(out, name, decimals(1, time), percent(1, time / (1000 * b.step_seconds)));
  };
  for (const PhaseTime& phase : b.phases)
    if (phase.ms > 0) ms(phase.name, phase.ms);  // a dense model has no routing
  ms("forward and backward", 1000 * b.forward_backward_seconds);
  ms("whole step", 1000 * b.step_seconds);
}

void print_findings(std::ostream& out, const Benchmark& b) {
  out << "\nmodel operations against the yardstick, the better of before and after ("
      << decimals(1, b.yardstick() / giga) << " GFLOP/s)\n";
  const auto share = [&](const std::string& name, double seconds) {
    row(out, name, percent(1, b.utilisation(seconds)),
        decimals(1, b.operations / seconds / giga) + " GFLOP/s");
  };
  share("forward and backward", b.forward_backward_seconds);
  share("whole step", b.step_seconds);
  out << "\n";
  row(out, "tokens/s", grouped(std::llround(b.tokens_per_second())),
      "encoder and decoder positions");
  if (b.settings.model.sparse_layers() > 0) {
    row(out, "exchanged", decimals(1, static_cast<double>(b.bytes_exchanged) / 1e6),
        "MB per step, all processes");
    row(out, "dropped", percent(1, b.dropped_fraction));
    row(out, "load", decimals(2, b.load_imbalance) + "x", "the busiest expert against the mean");
  }
  row(out, "peak memory", decimals(0, static_cast<double>(b.peak_bytes) / 1e6),
      "MB, the largest process");
}

}  // namespace

std::string benchmark_text(const Benchmark& benchmark) {
  std::ostringstream out;
  print_subject(out, benchmark);
  print_machine(out, benchmark);
  print_steps(out, benchmark);
  print_findings(out, benchmark);
  return out.str();
}

std::string benchmark_json(const Benchmark& b) {
  using Json = nlohmann::ordered_json;
  Json products = Json::array(), phases = Json::object();
  for (const ProductRate& rate : b.products) {
    products.push_back(Json{{"name", rate.name},
                            {"m", rate.shape.m},
                            {"n", rate.shape.n},
                            {"k", rate.shape.k},
                            {"float32_gflops", rate.float32 / giga},
                            {"bfloat16_gflops", rate.bfloat16 / giga}});
  }
  for (const PhaseTime& phase : b.phases) phases[phase.name] = phase.ms;
  const Json json = {{"processes", b.processes},
                     {"threads", b.threads},
                     {"virtual_ranks", b.settings.virtual_ranks},
                     {"precision", precision_name(b.settings.model.precision)},
                     {"onednn", onednn_version()},
                     {"instruction_set", onednn_isa()},
                     {"steps", b.steps},
                     {"force_load_balancing", b.settings.model.moe.force_load_balancing},
                     {"matmul_gflops", b.yardstick() / giga},
                     {"matmul_gflops_before", b.yardstick_before() / giga},
                     {"matmul_gflops_after", b.yardstick_after / giga},
                     {"products", products},
                     {"memory_gb_per_second", b.memory_rate / giga},
                     {"exchange_bytes_per_second", b.exchange_rate},
                     {"reduction_bytes_per_second", b.reduction_rate},
                     {"model_gflop", static_cast<double>(b.operations) / giga},
                     {"forward_backward_seconds", b.forward_backward_seconds},
                     {"step_seconds", b.step_seconds},
                     {"mfu_forward_backward", b.utilisation(b.forward_backward_seconds)},
                     {"mfu_step", b.utilisation(b.step_seconds)},
                     {"positions", b.positions()},
                     {"tokens_per_second", b.tokens_per_second()},
                     {"phases", phases},
                     {"bytes_exchanged", b.bytes_exchanged},
                     {"dropped_fraction", b.dropped_fraction},
                     {"load_imbalance", b.load_imbalance},
                     {"peak_bytes", b.peak_bytes}};
  return json.dump(2) + "\n";
}

}  // namespace switchyard
