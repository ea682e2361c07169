#include "train/agree.hpp"

#include <array>
#include <cstdint>
#include <optional>

#include "base/error.hpp"

namespace switchyard {

std::string decide_on_process_0(const Comm& comm, const std::function<std::string()>& work) {
  const Rank root(0);
  std::string result;
  std::optional<Error> failure;
  if (comm.rank() == root) {
    try {
      result = work();
    } catch (const Error& error) {
      failure = error;
    }
  }
  std::array<std::int64_t, 1> code = {failure ? static_cast<std::int64_t>(failure->code()) : 0};
  broadcast(comm, std::span<std::int64_t>(code), root);
  if (code[0] == 0) return broadcast_string(comm, result, root);
  const std::string message = broadcast_string(comm, failure ? failure->what() : "", root);
  const std::string hint = broadcast_string(comm, failure ? failure->hint() : "", root);
  throw Error(static_cast<ExitCode>(code[0]), message, hint);
}

void do_on_process_0(const Comm& comm, const std::function<void()>& work) {
  decide_on_process_0(comm, [&] {
    work();
    return std::string();
  });
}

}  // namespace switchyard
