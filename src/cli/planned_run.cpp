#include "cli/planned_run.hpp"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <string>

#include "base/error.hpp"
#include "cli/memory.hpp"
#include "report/numbers.hpp"

namespace switchyard {
namespace {

void heading(std::ostream& out, const std::string& text) { out << "\n" << text << "\n"; }

std::string amount(double bytes) { return bytes_text(std::llround(bytes)); }
std::string whole(double number) { return grouped(std::llround(number)); }

// Three significant digits and a unit; long times in whole ones.
std::string duration(double seconds) {
  if (seconds < 0.9995) return formatted("%.3g ms", 1000 * seconds);
  if (seconds < 100) return formatted("%.3g s", seconds);
  if (seconds < 36'000) return whole(seconds) + " s";
  return whole(seconds / 3600) + " h";
}

void traffic_row(std::ostream& out, const std::string& name, const Sent& process,
                 const Sent& host) {
  out << "  " << std::left << std::setw(24) << name << std::right << std::setw(12)
      << whole(process.messages) << std::setw(12) << amount(process.bytes) << std::setw(12)
      << whole(host.far_messages) << std::setw(12) << amount(host.far_bytes) << "\n";
}

double tokens(const StepShape& shape) {
  return static_cast<double>(shape.rows * (shape.input_length + shape.target_length));
}

Rule rule_of(const OptimizerConfig& config) {
  if (std::holds_alternative<AdafactorConfig>(config)) return Rule::adafactor;
  return std::holds_alternative<AdamWConfig>(config) ? Rule::adamw : Rule::sgd;
}

}  // namespace

PlannedRun planned_run(const Settings& settings, const Layout& layout, std::int64_t hosts,
                       double imbalance) {
  return {.config = settings.model,
          .layout = layout,
          .shape = step_shape(settings),
          .placement = {layout.processes(), hosts},
          .rule = rule_of(settings.optimizer),
          .overlap_reduction = settings.overlap_reduction,
          .two_level_exchange = settings.two_level_exchange,
          .imbalance = imbalance};
}

void print_job_traffic(std::ostream& out, const PlannedRun& run) {
  const JobTraffic traffic = plan_job_traffic(run.traffic_input());
  heading(out, "sent in a step by the busiest process, and from the busiest of " +
                   grouped(run.placement.hosts) + (run.placement.hosts == 1 ? " host" : " hosts") +
                   " to others");
  out << "  " << std::left << std::setw(24) << "" << std::right << std::setw(12) << "messages"
      << std::setw(12) << "bytes" << std::setw(12) << "messages" << std::setw(12) << "bytes"
      << "\n";
  const auto& [process, host] = traffic;
  if (run.config.sparse_layers() > 0) {
    traffic_row(out, "counts of rows", process.announcements, host.announcements);
    traffic_row(out, "rows", process.rows, host.rows);
  }
  traffic_row(out, "dense gradients", process.dense_gradients, host.dense_gradients);
  if (run.config.sparse_layers() > 0)
    traffic_row(out, "experts' gradients", process.expert_gradients, host.expert_gradients);
  traffic_row(out, "together", process.all(), host.all());
}

void print_step_time(std::ostream& out, const PlannedRun& run, const Machine& machine,
                     const RunLength& length) {
  if (const auto missing = missing_constants(run, machine)) {
    throw Error(ExitCode::usage, "the files of --network lack " + *missing,
                "calibrate with as many processes on a host, and on as many as two hosts, or add "
                "a file that states it");
  }
  const StepTime time = plan_step_time(run, machine);
  heading(out, "predicted step");
  const auto row = [&](const char* name, double seconds) {
    if (seconds == 0) return;
    out << "  " << std::left << std::setw(24) << name << std::right << std::setw(12)
        << duration(seconds) << std::setw(8) << percent(1, seconds / time.total()) << "\n";
  };
  row("embedding", time.embedding);
  row("attention", time.attention);
  row("feed_forward", time.feed_forward);
  row("routing", time.routing);
  row("exchange", time.exchange);
  row("experts", time.experts);
  row("logits", time.logits);
  row("reduction", time.reduction);
  row("optimizer", time.optimizer);
  row("besides", time.besides);
  row("whole step", time.total());
  const double seconds = time.total() * static_cast<double>(length.steps);
  out << "  " << short_count(tokens(run.shape) / time.total()) << " tokens/s; "
      << grouped(length.steps) << " steps take "
      << decimals(seconds < 360'000 ? 2 : 0, seconds / 3600) << " hours";
  if (length.rows_of_data && *length.rows_of_data > 0) {
    const double rows = static_cast<double>(length.steps * run.shape.rows);
    out << ", " << decimals(2, rows / static_cast<double>(*length.rows_of_data)) << " epochs";
  }
  out << "\n  assumed: the busiest expert has " << decimals(2, run.imbalance)
      << "x the mean, orders of experts drawn; evaluation, checkpoints and reading data not "
         "counted";
  if (run.overlap_reduction && run.layout.processes() > 1) {
    out << "\n  assumed: backward hides " << duration(time.overlapped) << " of summing gradients ("
        << percent(0, machine.overlap_gain)
        << " of the dense ones but the embedding; stated, not measured)";
  }
  out << "\n  not known: other jobs on these hosts and this network, contention beyond a host's "
         "own "
         "link, noise\n";
  if (run.placement.most_on_a_host() != machine.processes_per_host) {
    out << "  not known: the rates with " << grouped(run.placement.most_on_a_host())
        << " processes on a host; they were measured with " << grouped(machine.processes_per_host)
        << "\n";
  }
}

void print_replicas(std::ostream& out, const PlannedRun& run,
                    const std::optional<Machine>& machine) {
  const std::vector<ReplicaRow> rows = plan_replicas(run, machine);
  heading(out, "replica groups (parallel.expert_replicas, fixed in a run)");
  out << "  " << std::right << std::setw(6) << "G" << std::setw(18) << "bytes of a host"
      << std::setw(18) << "of a process" << std::setw(24) << "experts' parameters" << std::setw(12)
      << "step"
      << "\n";
  for (const ReplicaRow& row : rows) {
    out << "  " << std::setw(6) << row.groups << std::setw(18) << amount(row.host_bytes)
        << std::setw(18) << amount(row.process_bytes) << std::setw(24)
        << grouped(row.expert_parameters) << std::setw(12)
        << (row.time ? duration(row.time->total()) : "") << "\n";
  }
  const ReplicaRow& best = best_replicas(rows);
  out << "  " << (best.time ? "quickest" : "least sent") << ": G = " << best.groups << "\n";
}

void print_scaling(std::ostream& out, const std::vector<ScalingRow>& rows, const PlannedRun& run) {
  heading(out, "other numbers of processes: the same batch up to V, then one virtual rank each");
  out << "  " << std::right << std::setw(9) << "processes" << std::setw(7) << "hosts"
      << std::setw(8) << "V" << std::setw(11) << "rows" << std::setw(16) << "bytes of a host"
      << std::setw(11) << "step" << std::setw(11) << "tokens/s" << std::setw(12) << "efficiency"
      << "\n";
  const double row_tokens = tokens(run.shape) / static_cast<double>(run.shape.rows);
  std::optional<double> first;  // tokens/s of a process
  for (const ScalingRow& row : rows) {
    out << "  " << std::setw(9) << grouped(row.processes) << std::setw(7) << grouped(row.hosts)
        << std::setw(8) << grouped(row.virtual_ranks) << std::setw(11) << grouped(row.rows)
        << std::setw(16) << amount(row.host_bytes);
    if (row.time) {
      const double rate = static_cast<double>(row.rows) * row_tokens / row.time->total();
      const double each = rate / static_cast<double>(row.processes);
      if (!first) first = each;
      out << std::setw(11) << duration(row.time->total()) << std::setw(11) << short_count(rate)
          << std::setw(12) << percent(1, each / *first);
    }
    out << "\n";
  }
}

}  // namespace switchyard
