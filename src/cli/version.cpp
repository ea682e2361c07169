#include "cli/version.hpp"

#include <elf.h>
#include <link.h>

#include <cstring>
#include <sstream>

#include "comm/comm.hpp"
#include "commit.hpp"
#include "tensor/gemm.hpp"
#include "tensor/instruction_set.hpp"

namespace switchyard {
namespace {

std::string hexadecimal(const unsigned char* bytes, std::size_t size) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15];
  }
  return text;
}

// A dl_iterate_phdr callback. It is called for the program first and then for its libraries; only
// the program's notes are read.
int read_build_id(dl_phdr_info* object, std::size_t, void* id) {
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const auto* at = reinterpret_cast<const unsigned char*>(object->dlpi_addr + segment.p_vaddr);
    const unsigned char* end = at + segment.p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      ElfW(Nhdr) note;
      std::memcpy(&note, at, sizeof note);
      const unsigned char* name = at + sizeof note;
      const unsigned char* content = name + (note.n_namesz + 3) / 4 * 4;
      if (note.n_type == NT_GNU_BUILD_ID && std::memcmp(name, "GNU", 4) == 0) {
        *static_cast<std::string*>(id) = hexadecimal(content, note.n_descsz);
      }
      at = content + (note.n_descsz + 3) / 4 * 4;
    }
  }
  return 1;
}

}  // namespace

Build build() {
  std::string id = "unknown";
  dl_iterate_phdr(read_build_id, &id);
  return {commit::version, commit::name, commit::build_type, id};
}

BuildInfo build_info() {
  const Build program = build();
  return {.version = program.version,
          .commit = program.commit,
          .build_type = program.build_type,
          .onednn_version = onednn_version(),
          .isa = onednn_isa(),
          .mpi = Session::library_version(),
          .probe_products = probe_products()};
}

std::string version_text() {
  const Build program = build();
  std::ostringstream text;
  text << "switchyard       " << program.version << "\n"
       << "commit           " << program.commit << "\n"
       << "build type       " << program.build_type << "\n"
       << "build id         " << program.id << "\n"
       << "MPI              " << Session::library_version() << "\n"
       << "oneDNN           " << onednn_version() << "\n"
       << "instruction set  " << onednn_isa() << "\n";
  return text.str();
}

}  // namespace switchyard
