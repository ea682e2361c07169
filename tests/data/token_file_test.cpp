#include "data/token_file.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "corpus_files.hpp"
#include "data/token_format.hpp"
#include "support/errors.hpp"

namespace switchyard {
namespace {

using test::error_of;
using test::fails_with;
using test::read_bytes;
using test::write_text;

using Ids = std::vector<std::int32_t>;

class TokenFiles : public testing::Test {
 protected:
  TokenFileWriter::Summary write(const std::vector<Ids>& documents,
                                 std::int64_t vocab_size = 1000) {
    std::filesystem::remove(path_ + ".bin");
    std::filesystem::remove(path_ + ".idx");
    TokenFileWriter writer(env_, path_, vocab_size);
    for (const Ids& document : documents) writer.add_document(document);
    return writer.finish();
  }
  TokenFile open(std::int32_t id_limit = 1000) { return TokenFile(env_, path_, id_limit); }

  PosixEnv env_;
  test::ScratchDirectory scratch_;
  std::string path_ = scratch_.path() + "/stream";
};

TEST_F(TokenFiles, AreMegatronsByteForByte) {
  write({{3, 4, 5}, {600}});
  const std::string index =
      std::string(
          "MMIDIDX\0\0"
          "\1\0\0\0\0\0\0\0"
          "\10"
          "\2\0\0\0\0\0\0\0"
          "\3\0\0\0\0\0\0\0",
          34) +
      std::string("\3\0\0\0\1\0\0\0", 8) +                                  // lengths
      std::string("\0\0\0\0\0\0\0\0\6\0\0\0\0\0\0\0", 16) +                 // byte offsets
      std::string("\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0", 24);  // documents
  EXPECT_EQ(read_bytes(path_ + ".idx"), index);
  EXPECT_EQ(read_bytes(path_ + ".bin"), std::string("\3\0\4\0\5\0\x58\2", 8));
  EXPECT_FALSE(std::filesystem::exists(path_ + ".lengths"));
}

TEST_F(TokenFiles, TakeFourBytesForALargeVocabulary) {
  write({{3, 65499}}, 65500);
  EXPECT_EQ(read_bytes(path_ + ".bin").size(), 8U);
  EXPECT_EQ(read_bytes(path_ + ".idx")[17], '\4');
  EXPECT_EQ(open(65500).tokens(0, 2), (Ids{3, 65499}));
  write({{3, 65498}}, 65499);
  EXPECT_EQ(read_bytes(path_ + ".bin").size(), 4U);
  EXPECT_EQ(open(65499).tokens(0, 2), (Ids{3, 65498}));
}

TEST_F(TokenFiles, ReadBackWhatWasWrittenAcrossDocuments) {
  std::vector<Ids> documents;
  Ids stream;
  for (std::int32_t d = 0; d < 500; ++d) {
    documents.emplace_back(1 + d % 7, d);
    stream.insert(stream.end(), documents.back().begin(), documents.back().end());
  }
  const auto summary = write(documents);
  const TokenFile file = open();
  EXPECT_EQ(file.documents(), 500);
  EXPECT_EQ(file.tokens(), static_cast<std::int64_t>(stream.size()));
  EXPECT_EQ(summary.tokens, file.tokens());
  EXPECT_EQ(file.tokens(0, file.tokens()), stream);
  EXPECT_EQ(file.tokens(100, 50), Ids(stream.begin() + 100, stream.begin() + 150));
  EXPECT_EQ(file.tokens(file.tokens(), 0), Ids{});
  EXPECT_EQ(summary.bin_sha256, sha256_hex(read_bytes(path_ + ".bin")));
  EXPECT_EQ(summary.idx_sha256, sha256_hex(read_bytes(path_ + ".idx")));
}

TEST_F(TokenFiles, MayBeEmpty) {
  write({});
  EXPECT_EQ(open().tokens(), 0);
}

TEST_F(TokenFiles, RefuseAnIdPastTheVocabulary) {
  write({{3, 4, 700}});
  EXPECT_TRUE(
      fails_with(ExitCode::damaged_data, "token 2 is 700", [&] { open(700).tokens(0, 3); }));
  EXPECT_EQ(open(700).tokens(0, 2), (Ids{3, 4}));
  write({{3, -4}}, 100000);
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "is -4", [&] { open(100000).tokens(0, 2); }));
}

TEST_F(TokenFiles, MissingOnesAreMissingInput) {
  EXPECT_TRUE(fails_with(ExitCode::missing_input, "stream.bin", [&] { open(); }));
  write({{3}});
  std::filesystem::remove(path_ + ".idx");
  EXPECT_TRUE(fails_with(ExitCode::missing_input, "stream.idx", [&] { open(); }));
}

TEST_F(TokenFiles, EveryTruncationOfTheIndexIsDamage) {
  write({{3, 4, 5}, {6}});
  const std::string whole = read_bytes(path_ + ".idx");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write_text(path_ + ".idx", whole.substr(0, size));
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, "stream.idx", [&] { open(); })) << size;
  }
  write_text(path_ + ".idx", whole + "x");
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "stream.idx", [&] { open(); }));
}

TEST_F(TokenFiles, APartOfATokenIsDamage) {
  write({{3, 4, 5}, {6}});
  const std::string whole = read_bytes(path_ + ".bin");
  write_text(path_ + ".bin", whole.substr(0, whole.size() - 1));
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "stream.bin", [&] { open(); }));
}

TEST_F(TokenFiles, EveryFlippedBitOfTheHeaderIsDamage) {
  write({{3, 4, 5}, {6}});
  const std::string whole = read_bytes(path_ + ".idx");
  for (std::size_t bit = 0; bit < 8 * token_format::header_bytes; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    write_text(path_ + ".idx", flipped);
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, "stream.", [&] { open(); })) << bit;
  }
}

// Beyond the header, so that the work of a process does not grow with the corpus.
TEST_F(TokenFiles, AreReadWithoutTheirDocuments) {
  write({{3, 4, 5}, {6}});
  std::string index = read_bytes(path_ + ".idx");
  std::fill(index.begin() + token_format::header_bytes, index.end(), '\xff');
  write_text(path_ + ".idx", index);
  const TokenFile file = open();
  EXPECT_EQ(file.documents(), 2);
  EXPECT_EQ(file.tokens(), 4);
}

TEST_F(TokenFiles, HugeClaimsAndForeignFilesAreDamage) {
  write({{3, 4, 5}});
  const std::string whole = read_bytes(path_ + ".idx");
  for (const std::uint64_t claim : {~std::uint64_t{0}, std::uint64_t{1} << 63,
                                    std::uint64_t{1} << 61, ~std::uint64_t{0} / 20 + 2}) {
    std::string hostile = whole;
    const std::uint64_t boundaries = claim + 1;
    std::memcpy(hostile.data() + 18, &claim, 8);
    std::memcpy(hostile.data() + 26, &boundaries, 8);
    write_text(path_ + ".idx", hostile);
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, "stream.idx", [&] { open(); }));
  }
  write_text(path_ + ".idx", std::string(1000, 'x'));
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "MMIDIDX", [&] { open(); }));
}

TEST_F(TokenFiles, AFileThatShrinksWhileOpenIsDamage) {
  write({Ids(1000, 7)});
  const TokenFile file = open();
  std::filesystem::resize_file(path_ + ".bin", 100);
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "stream.bin", [&] { file.tokens(0, 1000); }));
}

}  // namespace
}  // namespace switchyard
