#include "report/example_report.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace switchyard {
namespace {

using nlohmann::json;

Evaluation evaluation() {
  Evaluation result;
  result.samples = 2;
  result.targets = 5;
  result.loss = 1.0 / 3;
  LayerStatistics layer;
  layer.real_tokens = 4;
  layer.wanted = 4;
  layer.dropped = 1;
  layer.tokens_per_expert = {3, 1};
  result.layers = {layer};
  return result;
}

TEST(ExampleReport, SaysWhatWasMeasuredToTheLastDigit) {
  const json report = json::parse(example_report_json({.checkpoint = "run/c\"",
                                                       .data = "f.jsonl",
                                                       .precision = "FLOAT32",
                                                       .step = 7,
                                                       .figure = {evaluation(), {}},
                                                       .with_capacity = {}}));
  EXPECT_EQ(report, (json{{"checkpoint", "run/c\""},
                          {"step", 7},
                          {"data", "f.jsonl"},
                          {"precision", "FLOAT32"},
                          {"examples", 2},
                          {"tokens", 5},
                          {"cross_entropy", 1.0 / 3},
                          {"dropless", true}}));
}

TEST(ExampleReport, NamesTheFigureUnderCapacityApart) {
  Evaluation rows = evaluation();
  rows.rows = {{.targets = 3, .sum = 1.5}, {.targets = 2, .sum = 0.25}};
  const json per_example = {{{"sum", 1.5}, {"count", 3}}, {{"sum", 0.25}, {"count", 2}}};
  const json report = json::parse(example_report_json({.checkpoint = "c",
                                                       .data = "f",
                                                       .precision = "FLOAT32",
                                                       .figure = {rows, {}},
                                                       .with_capacity = ExampleFigure{rows, 0.5}}));
  EXPECT_EQ(report["per_example"], per_example);
  EXPECT_EQ(report["with_capacity"], (json{{"cross_entropy", 1.0 / 3},
                                           {"dropless", false},
                                           {"capacity_factor", 0.5},
                                           {"dropped_fraction", 0.25},
                                           {"per_example", per_example}}));
}

TEST(ExampleReport, IsNullWhereTheLossIsNotFinite) {
  Evaluation broken = evaluation();
  broken.loss = std::numeric_limits<double>::quiet_NaN();
  const json report = json::parse(example_report_json({.checkpoint = "c",
                                                       .data = "f",
                                                       .precision = "FLOAT32",
                                                       .figure = {broken, {}},
                                                       .with_capacity = {}}));
  EXPECT_TRUE(report["cross_entropy"].is_null());
  EXPECT_EQ(report["nonfinite"], true);
}

}  // namespace
}  // namespace switchyard
