// What a host remembers of the files of prepared data that it has read and found whole: a small
// file, the stamp, with one entry for each of them. An entry binds the version of a file on this
// host (device, inode, size, time of modification) to the SHA-256 it was found to have. It knows
// neither manifests nor processes.
//
//   switchyard verified 1
//   host node7
//   66306 1048602 5120000 1760000000 123456789 0d1f…      one line per file
//   sha256 77ab…                                          of the lines before
#pragma once

#include <set>
#include <string>

#include "files/env.hpp"

namespace switchyard {

// A file, and the SHA-256 (64 hex digits) that it must have.
struct ExpectedFile {
  std::string path, sha256;
};

// The entry of the file as it is now.
std::string verified_entry(const Env& env, const ExpectedFile& file);

// The name of a host's stamp in a directory: ".verified-node7". Hosts that share the directory each
// have their own.
std::string stamp_name(const std::string& host);

// The entries of the host's stamp in `directory`. Empty where there is none, or it cannot be read,
// is damaged or is another host's: a stamp only ever saves work.
std::set<std::string> read_stamp(const Env& env, const std::string& directory,
                                 const std::string& host);

// Replaces the host's stamp in `directory`, atomically and durably. False where that fails, such as
// in a directory that may not be written to; then an old stamp is still there or none.
bool write_stamp(Env& env, const std::string& directory, const std::string& host,
                 const std::set<std::string>& entries);

}  // namespace switchyard
