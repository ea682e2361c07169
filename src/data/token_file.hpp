// Token streams in Megatron's indexed format, which other trainers can read too: NAME.bin contains
// the tokens of all documents one after another, NAME.idx where each document begins. It knows ids,
// not their meaning.
//
// NAME.idx, little-endian: "MMIDIDX\0\0", u64 version 1, u8 type (8: u16, 4: i32), u64 documents n,
// u64 n+1, i32 lengths[n] in tokens, i64 offsets[n] in bytes, i64 document indices[n+1] = 0 … n.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/buffer.hpp"
#include "files/env.hpp"
#include "files/sha256.hpp"

namespace switchyard {

// Writes NAME.bin and NAME.idx, one document at a time. Memory does not grow with the number of
// documents: their lengths are kept in NAME.lengths until finish(). Throws the errors of Env.
class TokenFileWriter {
 public:
  // path: without extension. Ids must be below vocab_size; if it is below 65,500, each id takes two
  // bytes.
  TokenFileWriter(Env& env, const std::string& path, std::int64_t vocab_size);

  // `ids` must not be empty.
  void add_document(std::span<const std::int32_t> ids);

  struct Summary {
    std::int64_t documents = 0, tokens = 0;
    std::string bin_sha256, idx_sha256;
  };
  // Writes the index and makes both files durable. The writer cannot be used afterwards.
  Summary finish();

 private:
  // A file that is hashed while it is written, in pieces of at least 1 MiB.
  class HashedFile {
   public:
    HashedFile(Env& env, const std::string& path) : file_(env.create(path)) {}
    void append(std::span<const std::byte> bytes);
    std::string finish();

   private:
    void flush();
    std::unique_ptr<WritableFile> file_;
    Sha256 hash_;
    std::vector<std::byte> buffer_;
  };
  void write_index(HashedFile& index);

  Env& env_;
  std::string path_;
  bool two_bytes_;
  HashedFile bin_, lengths_;
  std::int64_t documents_ = 0, tokens_ = 0;
};

// Reads NAME.bin at any position. Of NAME.idx it reads the header alone: where documents begin does
// not matter to training, and with many processes each would read the whole index. Whether both
// files are those that were written, their digests say (data/dataset.hpp). May be used from any
// thread.
class TokenFile {
 public:
  // Ids from id_limit on count as damage. Error(missing_input): the files are absent.
  // Error(damaged_data) names the file and the reason: not this format, or a size that does not fit
  // it. No allocation has a size taken from the file.
  TokenFile(const Env& env, const std::string& path, std::int32_t id_limit);

  std::int64_t documents() const { return documents_; }
  std::int64_t tokens() const { return tokens_; }

  // Tokens first … first+count-1 of the whole stream, which must contain them. Error(damaged_data):
  // an id is out of range, or the file has shrunk.
  Buffer<std::int32_t> tokens(std::int64_t first, std::int64_t count) const;

 private:
  void read_header(const ReadableFile& index);

  std::string path_;
  std::int32_t id_limit_;
  std::unique_ptr<ReadableFile> bin_;
  std::int64_t documents_ = 0, tokens_ = 0, token_bytes_ = 0;
};

}  // namespace switchyard
