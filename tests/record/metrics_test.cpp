#include "record/metrics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/fault_env.hpp"
#include "support/scratch_directory.hpp"

namespace switchyard::metrics_test {
namespace {

StepRecord record_of(std::int64_t step, double loss = 1.5) {
  StepRecord record;
  record.set_step(step);
  record.set_loss(loss);
  return record;
}

TEST(StepRecordJson, WritesNumbersAsNumbersUnderTheirKnownNames) {
  StepRecord record = record_of(std::int64_t{1} << 53, 3.25);
  record.set_loss_total(3.5);
  record.set_a2a_bytes(7);
  StepRecord::LayerTokens& load = *record.add_tokens_per_expert();
  load.set_layer("encoder.block.1");
  load.add_tokens(4);
  load.add_tokens(0);
  EXPECT_EQ(
      to_json(record),
      R"({"step":9007199254740992,"loss":3.25,"loss/total":3.5,)"
      R"("moe/tokens_per_expert":[{"layer":"encoder.block.1","tokens":[4,0]}],"bytes/a2a":7})");
}

TEST(StepRecordJson, ReadsBackTheSameBits) {
  for (const double loss : {0.1, 1.0 / 3, std::nextafter(2.5, 3), 1e-310, 5e300, -0.0}) {
    const StepRecord record = record_of(1, loss);
    const auto parsed = parse_record(to_json(record));
    ASSERT_TRUE(parsed);
    EXPECT_EQ(std::bit_cast<std::uint64_t>(parsed->loss()), std::bit_cast<std::uint64_t>(loss));
  }
}

TEST(StepRecordJson, WritesNullForWhatIsNotFiniteAndSaysSo) {
  StepRecord record = record_of(1, std::numeric_limits<double>::quiet_NaN());
  record.set_norm(std::numeric_limits<double>::infinity());
  EXPECT_EQ(to_json(record), R"({"step":1,"loss":null,"norm":null,"nonfinite":true})");
  const auto parsed = parse_record(to_json(record));
  ASSERT_TRUE(parsed);
  EXPECT_FALSE(parsed->has_loss());
}

TEST(StepRecordJson, SaysSoOfALayersFiguresToo) {
  StepRecord record = record_of(1);
  StepRecord::LayerRouting& layer = *record.add_layers();
  layer.set_layer("encoder.block.1");
  layer.set_z_loss(std::numeric_limits<double>::infinity());
  layer.set_dead_experts(2);
  EXPECT_EQ(to_json(record),
            R"({"step":1,"loss":1.5,"moe/layers":[{"layer":"encoder.block.1","z_loss":null,)"
            R"("dead_experts":2}],"nonfinite":true})");
  const auto parsed = parse_record(to_json(record));
  ASSERT_TRUE(parsed);
  EXPECT_FALSE(parsed->layers(0).has_z_loss());
  EXPECT_EQ(parsed->layers(0).dead_experts(), 2);
}

TEST(StepRecordJson, RefusesWhatIsNoRecord) {
  for (const char* line :
       {"", "{", "[]", "{}", R"({"step":1,"loss":)", R"({"loss":2})", "\0\0\0"}) {
    EXPECT_FALSE(parse_record(line)) << line;
  }
}

class MetricsFiles : public testing::Test {
 protected:
  void write(const std::string& text) { write_file_atomically(env_, path_, text); }
  std::string text() const { return read_file(env_, path_, 1 << 20); }
  static std::string lines(std::int64_t first, std::int64_t last) {
    std::string text;
    for (std::int64_t step = first; step <= last; ++step) text += to_json(record_of(step)) + "\n";
    return text;
  }

  test::ScratchDirectory directory_;
  PosixEnv env_;
  std::ostringstream console_;
  Log log_{&console_};
  const std::string path_ = directory_.path() + "/metrics.jsonl";
};

TEST_F(MetricsFiles, AppendFromNothing) {
  MetricsFile file(env_, log_, path_, 0);
  EXPECT_FALSE(file.last());
  file.append(record_of(1));
  file.append(record_of(2));
  EXPECT_EQ(text(), lines(1, 2));
  EXPECT_EQ(file.last()->step(), 2);
}

TEST_F(MetricsFiles, CutOffStepsAfterTheCheckpoint) {
  write(lines(1, 5));
  MetricsFile file(env_, log_, path_, 3);
  EXPECT_EQ(text(), lines(1, 3));
  EXPECT_EQ(file.last()->step(), 3);
  file.append(record_of(4));
  EXPECT_EQ(text(), lines(1, 4));
}

TEST_F(MetricsFiles, CutOffATornLineAtAnyByte) {
  const std::string whole = lines(1, 3), kept = lines(1, 2);
  for (std::size_t size = kept.size(); size < whole.size(); ++size) {
    write(whole.substr(0, size));
    MetricsFile file(env_, log_, path_, 3);
    EXPECT_EQ(text(), kept);
  }
}

TEST_F(MetricsFiles, CutOffWhatADiskLeftBehind) {
  write(lines(1, 2) + std::string(50, '\0') + "\n" + lines(3, 3));
  const MetricsFile file(env_, log_, path_, 5);
  EXPECT_EQ(text(), lines(1, 2));
}

TEST_F(MetricsFiles, ReplaceTheLastRecordAlone) {
  write(lines(1, 3));
  MetricsFile file(env_, log_, path_, 3);
  file.replace_last(record_of(3, 9));
  file.append(record_of(4));
  EXPECT_EQ(text(), lines(1, 2) + to_json(record_of(3, 9)) + "\n" + lines(4, 4));
}

// A disk that is full, or whose fsync fails, when `refused` names the operation.
class MetricsFilesOnABadDisk : public MetricsFiles {
 protected:
  std::string refused_;
  test::FaultEnv disk_{[this](const std::string& operation) {
    return !refused_.empty() && operation.starts_with(refused_);
  }};
};

TEST_F(MetricsFilesOnABadDisk, KeepWhatHasNoRoomAndWriteItLater) {
  MetricsFile file(disk_, log_, path_, 0);
  file.append(record_of(1));
  refused_ = "append ";
  for (const std::int64_t step : {2, 3}) {
    file.append(record_of(step));
    EXPECT_EQ(file.unwritten(), lines(2, step));
    EXPECT_TRUE(text().starts_with(lines(1, 1))) << "half of the others may follow";
  }
  EXPECT_EQ(file.last()->step(), 3);
  EXPECT_EQ(log_.warnings(), 1);
  refused_ = "";
  file.append(record_of(4));
  EXPECT_EQ(file.unwritten(), "");
  EXPECT_EQ(text(), lines(1, 4));
  EXPECT_NE(console_.str().find("is written again"), std::string::npos);
}

TEST_F(MetricsFilesOnABadDisk, TakeBackWhatAFailedSyncMayHaveLost) {
  write(lines(1, 1));
  MetricsFile file(disk_, log_, path_, 1);
  file.append(record_of(2));
  file.sync();
  file.append(record_of(3));
  file.append(record_of(4));
  refused_ = "sync ";
  file.sync();
  EXPECT_EQ(file.unwritten(), lines(3, 4));
  refused_ = "";
  file.sync();
  EXPECT_EQ(file.unwritten(), "");
  EXPECT_EQ(text(), lines(1, 4));
  EXPECT_EQ(log_.warnings(), 1);
}

TEST_F(MetricsFilesOnABadDisk, WriteWhatACheckpointTookAlongOnce) {
  for (const std::int64_t there : {1, 2, 3}) {
    write(lines(1, there));
    MetricsFile file(env_, log_, path_, 3, lines(2, 3));
    EXPECT_EQ(text(), lines(1, 3));
    file.append(record_of(4));
    EXPECT_EQ(text(), lines(1, 4));
  }
  refused_ = "append ";
  write(lines(1, 1));
  EXPECT_THROW(MetricsFile(disk_, log_, path_, 3, lines(2, 3)), Error);
}

TEST_F(MetricsFiles, TellTheirLastRecordWithoutBeingTouched) {
  EXPECT_FALSE(last_record(env_, path_));
  write(lines(1, 3) + "torn");
  EXPECT_EQ(last_record(env_, path_)->step(), 3);
  EXPECT_EQ(text(), lines(1, 3) + "torn");
}

}  // namespace
}  // namespace switchyard::metrics_test
