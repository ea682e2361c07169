// The safetensors format: known bytes, and a corpus of inconsistent files.
#include "interchange/safetensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/philox.hpp"
#include "support/errors.hpp"
#include "support/scratch_directory.hpp"

namespace switchyard {
namespace {

using test::error_of;
using test::fails_with;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::string with_length(const std::string& json) {
  std::string bytes;
  for (std::size_t i = 0; i < 8; ++i) bytes += static_cast<char>(json.size() >> (8 * i) & 0xff);
  return bytes + json;
}

class Safetensors : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& bytes) {
    env_.remove_file(path(name));
    const auto file = env_.create(path(name));
    file->append(std::as_bytes(std::span(bytes)));
    file->close();
  }
  std::string path(const std::string& name) const { return directory_.path() + "/" + name; }
  std::string file(const std::string& name) const { return read_file(env_, path(name), 1 << 20); }
  SafetensorsReader open() const { return {env_, directory_.path()}; }
  std::vector<float> all(const SafetensorsReader& reader, const std::string& name) const {
    const StoredTensor& tensor = *reader.find(name);
    std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
    reader.read(tensor, 0, values);
    return values;
  }
  // The error for a model.safetensors with this header and this many bytes after it.
  std::string refusal(const std::string& header, std::size_t data_bytes) {
    write("model.safetensors", with_length(header) + std::string(data_bytes, '\1'));
    return error_of([&] { open(); });
  }
  std::string index_refusal(const std::string& index) {
    write("model.safetensors.index.json", index);
    return error_of([&] { open(); });
  }

  test::ScratchDirectory directory_;
  PosixEnv env_;
};

TEST_F(Safetensors, HasTheHeaderThatOthersRead) {
  const std::vector<StoredTensor> tensors = {{"a", ElementType::float32, {2, 3}},
                                             {"b.c", ElementType::bfloat16, {5}}};
  const std::string header = safetensors_header(tensors);
  const std::string json =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
      R"("b.c":{"dtype":"BF16","shape":[5],"data_offsets":[24,34]}})";
  EXPECT_EQ(json.size(), 146u);
  EXPECT_EQ(header, std::string("\x98\0\0\0\0\0\0\0", 8) + json + "      ");
  const auto read = parse_safetensors_header(header.substr(8), 34, "x");
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[1].begin, 24);
  EXPECT_EQ(read[1].bytes(), 10);
}

TEST_F(Safetensors, ReadsWhatAnotherProgramWrote) {
  // Keys in any order, scalars, empty tensors, spaces at the end.
  const std::string header =
      R"({"m":{"data_offsets":[0,4],"shape":[],"dtype":"F32"},"__metadata__":{"k":"v"},)"
      R"("empty":{"dtype":"F16","shape":[0,7],"data_offsets":[4,4]},)"
      R"("h":{"dtype":"F16","shape":[1,2],"data_offsets":[4,8]}}   )";
  const float x = -2.5f;
  std::string data(8, '\0');
  std::memcpy(data.data(), &x, 4);
  data[5] = '\x3c', data[7] = '\xc0';  // 1 and -2
  write("model.safetensors", with_length(header) + data);
  const SafetensorsReader reader = open();
  EXPECT_THAT(reader.names(), ElementsAre("empty", "h", "m"));
  EXPECT_THAT(all(reader, "m"), ElementsAre(-2.5f));
  EXPECT_THAT(all(reader, "h"), ElementsAre(1.0f, -2.0f));
  EXPECT_THAT(all(reader, "empty"), ElementsAre());
  EXPECT_EQ(reader.find("n"), nullptr);
}

TEST_F(Safetensors, WidensEveryHalfThroughAFile) {
  std::string data;
  for (int type = 0; type < 2; ++type) {
    for (int bits = 0; bits < 1 << 16; ++bits) {
      data += static_cast<char>(bits & 0xff);
      data += static_cast<char>(bits >> 8);
    }
  }
  write("model.safetensors",
        with_length(R"({"f":{"dtype":"F16","shape":[65536],"data_offsets":[0,131072]},)"
                    R"("b":{"dtype":"BF16","shape":[65536],"data_offsets":[131072,262144]}})") +
            data);
  const SafetensorsReader reader = open();
  const std::vector<float> f = all(reader, "f"), b = all(reader, "b");
  for (std::uint32_t bits = 0; bits < 1 << 16; ++bits) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(b[bits]), bits << 16);
    const int exponent = static_cast<int>(bits >> 10 & 31);
    const double fraction = bits & 1023;
    if (exponent == 31) {
      EXPECT_FALSE(std::isfinite(f[bits]));
      continue;
    }
    const double value =
        exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    EXPECT_EQ(f[bits], static_cast<float>(bits >> 15 ? -value : value));
  }
  std::vector<float> some(3);
  reader.read(*reader.find("f"), 0x3c00, some);
  EXPECT_THAT(some, ElementsAre(1.0f, 1.0f + 0x1p-10f, 1.0f + 0x1p-9f));
}

TEST_F(Safetensors, SharesOutTensorsOverFilesOfASize) {
  std::vector<StoredTensor> tensors;
  std::vector<float> values(35);
  std::iota(values.begin(), values.end(), 0.0f);
  for (const std::int64_t size : {10, 5, 1, 12, 7})
    tensors.push_back(
        {std::string(1, static_cast<char>('a' + tensors.size())), ElementType::float32, {size}});
  SafetensorsWriter writer(env_, directory_.path(), tensors, 44);
  // Pieces whose ends are not those of tensors.
  for (std::size_t at = 0; at < values.size(); at += 4)
    writer.append(std::span(values).subspan(at, std::min<std::size_t>(4, values.size() - at)));
  writer.finish();
  EXPECT_THAT(env_.list_directory(directory_.path()),
              ElementsAre("model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors",
                          "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors",
                          "model.safetensors.index.json"));
  EXPECT_EQ(file("model.safetensors.index.json"), R"({
  "metadata": {
    "total_size": 140
  },
  "weight_map": {
    "a": "model-00001-of-00004.safetensors",
    "b": "model-00002-of-00004.safetensors",
    "c": "model-00002-of-00004.safetensors",
    "d": "model-00003-of-00004.safetensors",
    "e": "model-00004-of-00004.safetensors"
  }
}
)");
  const SafetensorsReader reader = open();
  std::vector<float> read;
  for (const std::string& name : reader.names())
    std::ranges::copy(all(reader, name), std::back_inserter(read));
  EXPECT_EQ(read, values);
}

TEST_F(Safetensors, RefusesAFileThatIsNone) {
  EXPECT_THAT(error_of([&] { open(); }), AllOf(StartsWith("66: "), HasSubstr("model.safetensors")));
  const std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  const std::string whole = with_length(header) + "1234";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write("model.safetensors", whole.substr(0, size));
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, "model.safetensors", [&] { open(); })) << size;
  }
  write("model.safetensors", whole);
  EXPECT_EQ(error_of([&] { open(); }), "");
  write("model.safetensors", whole + '\0');
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "1 bytes at the end", [&] { open(); }));
  // A header longer than any file, and a length that overflows.
  for (const char last : {'\x7f', '\xff'}) {
    std::string lying = whole;
    lying[7] = last;
    write("model.safetensors", lying);
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, "truncated", [&] { open(); }));
  }
}

TEST_F(Safetensors, RefusesAHeaderThatLies) {
  const auto entry = [](const std::string& shape, const std::string& offsets) {
    return R"({"a":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  const auto two = [](const std::string& a, const std::string& b) {
    return R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)" + a +
           R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":)" + b + "}}";
  };
  const std::string a = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
  const std::string deep = std::string(100'000, '[');
  const struct {
    std::string header;
    std::size_t data_bytes;
    const char* words;
  } lies[] = {
      {"", 8, "not JSON"},
      {"null", 8, "no JSON object"},
      {"[]", 8, "no JSON object"},
      {"{}", 8, "8 bytes at the end"},
      {"{" + a + "}", 8, "where none belongs"},
      {entry("[2]", "[0,8]") + "x", 8, "not JSON"},
      {entry("[2]", "[0,8]") + std::string(3, '\0'), 8, "not JSON"},
      {entry("[2]", "[0,12]"), 12, "not the size of F32 [2]"},
      {entry("[3]", "[0,8]"), 8, "not the size"},
      {entry("[2]", "[8,0]"), 8, "lies at bytes 8 to 0 of 8"},
      {entry("[2]", "[8,16]"), 8, "lies at bytes 8 to 16 of 8"},
      {entry("[2]", "[0,9223372036854775807]"), 8, "of 8"},
      {entry("[2]", "[18446744073709551608,18446744073709551616]"), 8, "where none belongs"},
      {entry("[2]", "[-8,0]"), 8, "-8 where none belongs"},
      {entry("[-2]", "[0,8]"), 8, "-2 where none belongs"},
      {entry("[2.0]", "[0,8]"), 8, "2.0 where none belongs"},
      {entry("[2e0]", "[0,8]"), 8, "where none belongs"},
      {entry("[NaN]", "[0,8]"), 8, "not JSON"},
      {entry("[null]", "[0,8]"), 8, "null where none belongs"},
      {entry("[true]", "[0,8]"), 8, "where none belongs"},
      {entry("[\"2\"]", "[0,8]"), 8, "where none belongs"},
      {entry("[[2]]", "[0,8]"), 8, "an array where none belongs"},
      {entry("2", "[0,8]"), 8, "where none belongs"},
      {entry("[2]", "[0]"), 8, "does not say"},
      {entry("[2]", "[0,8,8]"), 8, "too many numbers"},
      {entry("[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8, "too many numbers"},
      {entry("[4294967296,4294967296,2]", "[0,8]"), 8, "not the size"},
      {entry("[9223372036854775807,9223372036854775807,0]", "[0,8]"), 8, "not the size"},
      {two("[0,8]", "[4,12]"), 12, "tensors overlap at b"},
      {two("[0,8]", "[0,8]"), 8, "tensors overlap"},
      {two("[0,8]", "[12,20]"), 20, "no tensor before b"},
      {two("[4,12]", "[12,20]"), 20, "no tensor before a"},
      {two("[0,8]", "[8,16]"), 20, "4 bytes at the end"},
      {R"({"a":{)" + a + R"(},"a":{)" + a + "}}", 8, "names a twice"},
      {R"({"a":{"dtype":"F32",)" + a + "}}", 8, "dtype twice"},
      {R"({"a":{"dtype":"F32","shape":[2]}})", 8, "does not say"},
      {R"({"a":{"more":1,)" + a + "}}", 8, "where none belongs"},
      {R"({"a":{"more":{},)" + a + "}}", 8, "where none belongs"},
      {R"({"a":{}})", 8, "does not say"},
      {R"({"a":[]})", 8, "where none belongs"},
      {R"({"a":"F32"})", 8, "where none belongs"},
      {R"({"__metadata__":{"k":1}})", 0, "where none belongs"},
      {R"({"__metadata__":{"k":{}}})", 0, "where none belongs"},
      {R"({"__metadata__":{"k":"1","k":"2"}})", 0, "k twice"},
      {R"({"__metadata__":[]})", 0, "where none belongs"},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, "twice"},
      {"{\"\xff\":{" + a + "}}", 8, "not JSON"},
      {deep, 8, "no JSON object"},
      {"{\"a\":" + deep, 8, "where none belongs"},
      {"{\"a\":{\"shape\":" + deep, 8, "where none belongs"},
  };
  for (const auto& [header, data_bytes, words] : lies)
    EXPECT_THAT(refusal(header, data_bytes), AllOf(StartsWith("65: "), HasSubstr(words)))
        << header.substr(0, 200);
  for (const char* type : {"I64", "F64", "F8_E4M3", "f32", ""})
    EXPECT_THAT(refusal(R"({"a":{"dtype":")" + std::string(type) + R"(","shape":[2]}})", 8),
                AllOf(StartsWith("78: "), HasSubstr("a has the type " + std::string(type))));
}

// After any change of a byte, the header is either refused or describes all bytes of the file.
TEST_F(Safetensors, SurvivesEveryChangedByteOfAHeader) {
  const std::string json =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
      R"("b":{"dtype":"BF16","shape":[5],"data_offsets":[24,34]}})";
  int refused = 0, accepted = 0;
  for (std::size_t at = 0; at < json.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = json;
      changed[at] = static_cast<char>(byte);
      try {
        std::int64_t bytes = 0;
        for (const StoredTensor& tensor : parse_safetensors_header(changed, 34, "x")) {
          EXPECT_EQ(tensor.begin, bytes);
          bytes += tensor.bytes();
        }
        EXPECT_EQ(bytes, 34);
        ++accepted;
      } catch (const Error& error) {
        EXPECT_THAT(error.code(), AnyOf(ExitCode::damaged_data, ExitCode::mismatch));
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 30'000);
  EXPECT_GT(accepted, 200);  // names and metadata may be anything
}

TEST_F(Safetensors, RefusesAnIndexThatLies) {
  const std::string shard =
      with_length(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})") + "1234";
  write("one.safetensors", shard);
  const auto map = [](const std::string& entries) { return R"({"weight_map":{)" + entries + "}}"; };
  EXPECT_EQ(index_refusal(map(R"("a":"one.safetensors")")), "");
  const struct {
    std::string index;
    const char* code;
    const char* words;
  } lies[] = {
      {"", "65: ", "not JSON"},
      {"[]", "65: ", "no JSON object"},
      {"{}", "65: ", "no weight_map"},
      {R"({"weight_map":[]})", "65: ", "no weight_map"},
      {map(""), "65: ", "no weight_map"},
      {map(R"("a":1)"), "65: ", "no file for the tensor a"},
      {map(R"("a":"../one.safetensors")"), "77: ", "../one.safetensors"},
      {map(R"("a":"/etc/passwd")"), "77: ", "/etc/passwd"},
      {map(R"("a":"..")"), "77: ", "plain file name"},
      {map(R"("a":"")"), "77: ", "plain file name"},
      {map("\"a\":\"one.safetensors\\u0000\""), "77: ", "one.safetensors?"},
      {map(R"("a":"two.safetensors")"), "66: ", "two.safetensors, which the index names"},
      {map(R"("a":"one.safetensors","b":"one.safetensors")"), "65: ", "lacks b"},
      {map(R"("b":"one.safetensors")"), "65: ", "lacks b"},
      {map(R"("a":"one.safetensors","a":"one.safetensors")"), "65: ", "key a twice"},
      {R"({"weight_map":{"a":"one.safetensors"},"weight_map":{}})", "65: ", "weight_map twice"},
      {R"({"metadata":{"total_size":NaN}})", "65: ", "not JSON"},
      {R"({"metadata":)" + std::string(100'000, '['), "65: ", "nested deeper"},
      {"{\"\xff\":1}", "65: ", "not JSON"},
      {map(R"("a":"one.safetensors")") + '\0', "65: ", "not JSON"},
  };
  for (const auto& [index, code, words] : lies)
    EXPECT_THAT(index_refusal(index), AllOf(StartsWith(code), HasSubstr(words)))
        << index.substr(0, 200);
  std::string many = R"({"metadata":[0)";
  for (int i = 0; i < 100'000; ++i) many += ",0";
  EXPECT_THAT(index_refusal(many + "]}"), HasSubstr("more values than such a file can have"));
  write("one.safetensors", shard.substr(0, shard.size() - 1));
  EXPECT_THAT(index_refusal(map(R"("a":"one.safetensors")")), StartsWith("65: "));
}

}  // namespace
}  // namespace switchyard
