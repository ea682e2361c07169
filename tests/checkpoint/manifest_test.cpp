#include "checkpoint/manifest.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

#include "checkpoint/shard.hpp"
#include "support/errors.hpp"

namespace switchyard {
namespace {

using test::error_of;
using test::fails_with;

void add_tensor(Manifest& manifest, const std::string& name, std::int64_t rows, std::int64_t cols,
                int file, std::int64_t offset) {
  ManifestTensor& tensor = *manifest.add_tensors();
  tensor.set_name(name);
  tensor.set_rows(rows);
  tensor.set_cols(cols);
  tensor.set_file(file);
  tensor.set_offset(offset);
  tensor.set_crc32c(1);
  tensor.set_sha256(std::string(32, 's'));
}

// Two files: a [2, 3] and c [4, 8] in the first, b [1, 16] in the second.
Manifest small_manifest() {
  Manifest manifest;
  store_run_state({.step = 7,
                   .samples = 56,
                   .config_text = "train { steps: 9 }",
                   .data_digest = "d1",
                   .tokenizer_digest = "70",
                   .build = {"0.1.0", "abc", "Release", "2.6.3", "AVX2", "Open MPI", 42}},
                  manifest);
  manifest.mutable_layout()->set_virtual_ranks(4);
  for (const char* name : {"shard-00000.bin", "shard-00001.bin"}) {
    ManifestFile& file = *manifest.add_files();
    file.set_name(name);
    file.set_size(manifest.files_size() == 1 ? 192 : 64);
    file.set_sha256(std::string(32, 'f'));
  }
  add_tensor(manifest, "a", 2, 3, 0, 0);
  add_tensor(manifest, "b", 1, 16, 1, 0);
  add_tensor(manifest, "c", 4, 8, 0, 64);
  return manifest;
}

TEST(Manifest, GivesBackTheRunState) {
  const Manifest manifest = small_manifest();
  const Manifest again = decode_manifest(encode_manifest(manifest), "MANIFEST");
  EXPECT_EQ(again.SerializeAsString(), manifest.SerializeAsString());
  EXPECT_EQ(run_state_of(again), run_state_of(manifest));
  EXPECT_EQ(run_state_of(again).build.probe_products, 42u);
}

struct Case {
  const char* words;
  std::function<void(Manifest&)> spoil;
  ExitCode code = ExitCode::damaged_data;
};

TEST(Manifest, RefusesWhateverDoesNotAddUpThoughItsHashesDo) {
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  const Case cases[] = {
      {"no step", [](Manifest& m) { m.clear_step(); }},
      {"no step", [](Manifest& m) { m.set_step(-1); }},
      {"no data cursor", [](Manifest& m) { m.clear_samples(); }},
      {"which run", [](Manifest& m) { m.clear_build(); }},
      {"not a plain file name",
       [](Manifest& m) { m.mutable_files(1)->set_name("../../etc/passwd"); },
       ExitCode::unsafe_path},
      {"not a plain file name",
       [](Manifest& m) { m.mutable_files(1)->set_name(std::string("a\0b", 3)); },
       ExitCode::unsafe_path},
      {"MANIFEST twice", [](Manifest& m) { m.mutable_files(1)->set_name("MANIFEST"); }},
      {"twice", [](Manifest& m) { m.mutable_files(1)->set_name("shard-00000.bin"); }},
      {"incomplete", [](Manifest& m) { m.mutable_files(0)->set_size(-1); }},
      {"incomplete", [](Manifest& m) { m.mutable_files(0)->clear_sha256(); }},
      {"no proper name", [](Manifest& m) { m.mutable_tensors(0)->set_name(""); }},
      {"no proper name", [](Manifest& m) { m.mutable_tensors(0)->set_name("a\nall"); }},
      {"out of order", [](Manifest& m) { m.mutable_tensors(1)->set_name("a"); }},
      {"impossible shape", [](Manifest& m) { m.mutable_tensors(0)->set_rows(-2); }},
      {"impossible shape", [=](Manifest& m) { m.mutable_tensors(0)->set_rows(huge); }},
      {"impossible shape",
       [](Manifest& m) {
         m.mutable_tensors(0)->set_rows(std::int64_t{1} << 31);
         m.mutable_tensors(0)->set_cols(std::int64_t{1} << 31);
       }},
      {"impossible expert", [](Manifest& m) { m.mutable_tensors(0)->set_expert(-1); }},
      {"names no file", [](Manifest& m) { m.mutable_tensors(0)->clear_file(); }},
      {"names no file", [](Manifest& m) { m.mutable_tensors(0)->set_file(2); }},
      {"names no file", [](Manifest& m) { m.mutable_tensors(0)->set_file(-1); }},
      {"no hash", [](Manifest& m) { m.mutable_tensors(0)->clear_crc32c(); }},
      {"no hash", [](Manifest& m) { m.mutable_tensors(0)->set_sha256("short"); }},
      {"end to end", [](Manifest& m) { m.mutable_tensors(2)->set_offset(0); }},
      {"end to end", [](Manifest& m) { m.mutable_tensors(2)->set_offset(128); }},
      {"end to end", [=](Manifest& m) { m.mutable_tensors(2)->set_offset(huge); }},
      {"after its file", [](Manifest& m) { m.mutable_tensors(2)->set_rows(64); }},
      {"belong to no tensor", [](Manifest& m) { m.mutable_tensors(2)->set_rows(2); }},
      {"belong to no tensor", [](Manifest& m) { m.mutable_files(1)->set_size(65); }},
  };
  for (const Case& spoilt : cases) {
    Manifest manifest = small_manifest();
    spoilt.spoil(manifest);
    const std::string bytes = encode_manifest(manifest);
    EXPECT_TRUE(
        fails_with(spoilt.code, spoilt.words, [&] { decode_manifest(bytes, "run/MANIFEST"); }));
    EXPECT_NE(error_of([&] { decode_manifest(bytes, "run/MANIFEST"); }).find("run/MANIFEST"),
              std::string::npos);
  }
}

// The names that save_checkpoint gives, and nothing else that leaves the checkpoint's directory.
TEST(Manifest, TakesFilesInOneLevelOfShardDirectories) {
  const auto decode = [](const std::string& name) {
    Manifest manifest = small_manifest();
    manifest.mutable_files(1)->set_name(name);
    decode_manifest(encode_manifest(manifest), "run/MANIFEST");
  };
  for (const std::int64_t process : {0, 99, 100, 312, 65535, 99999}) {
    EXPECT_EQ(error_of([&] { decode(shard_name(process, 100'000)); }), "") << process;
  }
  for (const std::string name :
       {"shards-000/../MANIFEST", "shards-000/..", "shards-000/.", "shards-000/", "shards-000//a",
        "shards-000/shards-000/a", "shards-000/a/b", "shards-00/a", "shards-/a", "shards-0x0/a",
        "shards-+00/a", "shards- 00/a", "shards-0000000000/a", "shard-000/a", "/shards-000/a",
        "./shards-000/a", "../shards-000/a", "a/shards-000/a", "Shards-000/a"}) {
    EXPECT_TRUE(fails_with(ExitCode::unsafe_path, "not a plain file name", [&] { decode(name); }))
        << name;
  }
  EXPECT_TRUE(fails_with(ExitCode::unsafe_path, "not a plain file name",
                         [&] { decode(std::string("shards-000/a\0b", 14)); }));
}

TEST(ShardName, IsThatOfAFileBesideTheManifestForUpTo256Processes) {
  EXPECT_EQ(shard_name(0, 1), "shard-00000.bin");
  EXPECT_EQ(shard_name(255, 256), "shard-00255.bin");
  EXPECT_TRUE(shard_subdirectories(256).empty());
}

TEST(ShardName, HasADirectoryForEachHundredOfMoreProcesses) {
  EXPECT_EQ(shard_name(0, 257), "shards-000/shard-00000.bin");
  EXPECT_EQ(shard_name(256, 257), "shards-002/shard-00256.bin");
  EXPECT_EQ(shard_name(65535, 65536), "shards-655/shard-65535.bin");
  EXPECT_EQ(shard_name(1, 2, 1), "shards-000/shard-00001.bin");
  EXPECT_EQ(shard_subdirectories(257),
            (std::vector<std::string>{"shards-000", "shards-001", "shards-002"}));
  EXPECT_EQ(shard_subdirectories(300).size(), 3u);
  EXPECT_EQ(shard_subdirectories(301).size(), 4u);
  for (const std::int64_t processes : {257, 300, 301, 1000}) {
    const auto directories = shard_subdirectories(processes);
    for (std::int64_t p = 0; p < processes; ++p) {
      const std::string name = shard_name(p, processes);
      EXPECT_EQ(std::ranges::count(directories, name.substr(0, name.find('/'))), 1) << name;
    }
  }
}

TEST(Manifest, SurvivesHostileContentInAProperFrame) {
  const std::string payload = small_manifest().SerializeAsString();
  std::mt19937 random(1);
  int refused = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    std::string mutant = payload;
    for (std::uint32_t changes = 1 + random() % 3; changes > 0; --changes) {
      mutant[random() % mutant.size()] = static_cast<char>(random());
    }
    if (trial % 4 == 0) mutant.resize(random() % mutant.size());
    const std::string bytes = frame(manifest_frame, mutant);
    refused += error_of([&] { decode_manifest(bytes, "MANIFEST"); }).empty() ? 0 : 1;
  }
  EXPECT_GT(refused, 5000);
}

}  // namespace
}  // namespace switchyard
