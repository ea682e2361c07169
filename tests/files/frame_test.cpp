#include "files/frame.hpp"

#include <gtest/gtest.h>

#include <random>

#include "support/errors.hpp"
#include "support/scratch_directory.hpp"

namespace switchyard {
namespace {

using test::error_of;
using test::fails_with;

constexpr FrameKind kind = {"SWYDTEST", 2, "test message", 1000};

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

TEST(Frame, HasTheseBytes) {
  EXPECT_EQ(frame(kind, "abc"),
            from_hex("5357594454455354"  // magic
                     "02000000"          // version
                     "0300000000000000"  // length
                     "616263"            // payload
                     "6e766827"          // crc32c of the 23 bytes above
                     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
}

TEST(Frame, GivesBackWhatItWasGiven) {
  for (const std::size_t size : {0, 1, 63, 64, 1000}) {
    const std::string payload(size, '\x7f');
    EXPECT_EQ(unframe(kind, frame(kind, payload), "f"), payload);
    EXPECT_EQ(frame(kind, payload).size(), size + frame_overhead);
  }
}

TEST(Frame, NoticesEveryFlippedBit) {
  const std::string whole = frame(kind, "a payload of some length, flipped bit by bit");
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    EXPECT_TRUE(
        fails_with(ExitCode::damaged_data, "run/x is", [&] { unframe(kind, bytes, "run/x"); }))
        << "bit " << bit;
  }
}

TEST(Frame, NoticesEveryTruncationAndWhateverFollows) {
  const std::string whole = frame(kind, "payload");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, "run/x is",
                           [&] { unframe(kind, whole.substr(0, size), "run/x"); }));
  }
  for (const std::string& more : {std::string(1, '\0'), std::string("x"), whole}) {
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, "bytes where its header promises",
                           [&] { unframe(kind, whole + more, "run/x"); }));
  }
}

TEST(Frame, NeitherCrashesNorAcceptsNoise) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 20000; ++trial) {
    std::string bytes(random() % 200, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    if (trial % 2 == 0) bytes.replace(0, 12, frame(kind, "").substr(0, 12));
    EXPECT_NE(error_of([&] { unframe(kind, bytes, "run/x"); }), "");
  }
}

TEST(Frame, RefusesAnImpossibleLengthBeforeReadingOn) {
  std::string bytes = frame(kind, "payload");
  for (const char last : {'\x01', '\x7f', '\xff'}) {
    bytes[19] = last;  // the length's highest byte
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, "claims", [&] { unframe(kind, bytes, "x"); }));
  }
}

TEST(Frame, TellsANewerVersionFromDamage) {
  FrameKind newer = kind;
  newer.version = 3;
  EXPECT_TRUE(fails_with(ExitCode::mismatch, "format version 3",
                         [&] { unframe(kind, frame(newer, "abc"), "x"); }));
  FrameKind older = kind;
  older.version = 1;
  EXPECT_EQ(unframe(kind, frame(older, "abc"), "x"), "abc");
}

TEST(Frame, OfAFileIsReadOnlyUpToItsLimit) {
  const test::ScratchDirectory scratch;
  PosixEnv env;
  const std::string path = scratch.path() + "/f";
  write_file_atomically(env, path, frame(kind, "abc"));
  EXPECT_EQ(read_framed_file(env, kind, path), "abc");
  write_file_atomically(env, path, std::string(2000, 'x'));
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, path + " has 2000 bytes",
                         [&] { read_framed_file(env, kind, path); }));
}

}  // namespace
}  // namespace switchyard
