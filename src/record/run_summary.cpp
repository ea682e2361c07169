#include "record/run_summary.hpp"

#include <cmath>
#include <limits>
#include <utility>

#include "base/error.hpp"
#include "record/metrics.hpp"
#include "record/step_record.hpp"
#include "statistics/median.hpp"

namespace switchyard {
namespace {

std::optional<double> mean(std::span<const double> values) {
  if (values.empty()) return std::nullopt;
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// Batch size and lengths are fixed in a run, so every step has the same number of positions.
std::int64_t positions(const StepRecord& record) {
  return std::llround(record.tokens_per_second() * record.step_ms() / 1000);
}

void take_evaluation(const StepRecord& record, RunSummary& summary) {
  if (!record.has_eval_samples()) return;
  // A loss that is not finite is recorded as null.
  const double loss =
      record.has_eval_loss() ? record.eval_loss() : std::numeric_limits<double>::quiet_NaN();
  summary.last = {record.step(), loss};
  if (!summary.best || loss < summary.best->loss || std::isnan(summary.best->loss))
    summary.best = summary.last;
}

}  // namespace

std::vector<StepRecord> read_records(const std::string& text, const std::string& name) {
  std::vector<StepRecord> records;
  std::int64_t line = 1;
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != text.npos; begin = end + 1) {
    std::optional<StepRecord> record = parse_record(text.substr(begin, end - begin));
    if (!record) {
      throw Error(ExitCode::damaged_data,
                  name + ":" + std::to_string(line) + " is not the record of a step",
                  "leave this run out, or delete the line");
    }
    while (!records.empty() && records.back().step() >= record->step()) records.pop_back();
    record->clear_tokens_per_expert();
    records.push_back(*std::move(record));
    ++line;
  }
  return records;
}

RunSummary summarize(std::span<const StepRecord> records) {
  RunSummary summary;
  std::vector<double> rates, drops, imbalances, losses;
  for (const StepRecord& record : records) {
    if (!was_taken(record)) {
      summary.diverged_at = record.step();
      continue;
    }
    summary.steps = record.step();
    summary.tokens = record.step() * positions(record);
    summary.seconds = record.seconds();
    if (record.step() > 1) rates.push_back(record.tokens_per_second());
    losses.push_back(record.loss());
    if (record.has_dropped_fraction()) drops.push_back(record.dropped_fraction());
    if (record.has_load_imbalance()) imbalances.push_back(record.load_imbalance());
    if (record.has_peak_memory())
      summary.peak_memory = std::max(record.peak_memory(), summary.peak_memory.value_or(0));
    take_evaluation(record, summary);
  }
  summary.tokens_per_second = median(std::move(rates));
  summary.dropped_fraction = mean(drops);
  summary.load_imbalance = mean(imbalances);
  summary.late_loss = mean(std::span(losses).last((losses.size() + 4) / 5));
  return summary;
}

}  // namespace switchyard
