#include "report/example_report.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

namespace switchyard {
namespace {

using Json = nlohmann::ordered_json;

void add_figure(const ExampleFigure& figure, Json& json) {
  const Evaluation& evaluation = figure.evaluation;
  json["cross_entropy"] = evaluation.loss;
  if (!std::isfinite(evaluation.loss)) json["nonfinite"] = true;
  json["dropless"] = !figure.capacity_factor;
  if (figure.capacity_factor) {
    json["capacity_factor"] = *figure.capacity_factor;
    if (!evaluation.layers.empty())
      json["dropped_fraction"] = routing_figures(evaluation.layers).dropped_fraction;
  }
  if (evaluation.rows.empty()) return;
  for (const RowLoss& row : evaluation.rows) {
    json["per_example"].push_back(
        {{"sum", row.sum}, {"count", static_cast<std::int64_t>(row.targets)}});
  }
}

}  // namespace

std::string example_report_json(const ExampleReport& report) {
  Json json = {{"checkpoint", report.checkpoint},
               {"step", report.step},
               {"data", report.data},
               {"precision", report.precision},
               {"examples", report.figure.evaluation.samples},
               {"tokens", report.figure.evaluation.targets}};
  add_figure(report.figure, json);
  if (report.with_capacity) add_figure(*report.with_capacity, json["with_capacity"]);
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace switchyard
