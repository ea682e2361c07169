#include "checkpoint/visibility.hpp"

#include <algorithm>
#include <random>
#include <thread>

#include "base/error.hpp"
#include "base/host.hpp"
#include "comm/together.hpp"

namespace switchyard {
namespace {

constexpr std::string_view prefix = ".seen-by-all-";

// A file name that no other start can have left in the directory.
std::string new_sign() {
  std::random_device device;
  return std::string(prefix) + std::to_string(device()) + "-" + std::to_string(device());
}

// Lists the directory, because that makes a network file system refresh its view.
bool sees(const Env& env, const std::string& directory, const std::string& sign) {
  try {
    return std::ranges::count(env.list_directory(directory), sign) > 0;
  } catch (const Error&) {
    return false;
  }
}

bool comes_to_see(const Env& env, const std::string& directory, const std::string& sign,
                  std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!sees(env, directory, sign)) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return true;
}

void write_and_remove(Env& env, const std::string& path) {
  try {
    env.create(path)->close();
    env.remove_file(path);
  } catch (const Error& error) {
    throw Error(ExitCode::output_not_writable, error.what(),
                "choose an --output that every host may write to");
  }
}

void remove_quietly(Env& env, const std::string& path) {
  try {
    env.remove_file(path);
  } catch (const Error&) {  // the next start removes it
  }
}

}  // namespace

void require_seen_by_all(Env& env, const Comm& comm, const std::string& directory,
                         std::chrono::milliseconds patience) {
  if (comm.size() == 1) return;
  const std::string first_host = broadcast_string(comm, host_name(), Rank{0});
  const std::string sign = on_first(comm, [&] {
    const std::string name = new_sign();
    env.create(directory + "/" + name)->close();
    return name;
  });
  const auto clean_up = [&] {
    if (comm.rank() == Rank{0}) remove_quietly(env, directory + "/" + sign);
  };
  try {
    once_per_view(comm, env.identity(directory), [&] {
      if (!comes_to_see(env, directory, sign, patience)) {
        throw Error(ExitCode::output_not_writable,
                    directory + " is not the directory that process 0 on " + first_host +
                        " writes to: what it wrote does not arrive",
                    "choose an --output on a file system that all hosts share");
      }
      write_and_remove(env, directory + "/" + sign + "-" + std::to_string(comm.rank().value));
    });
  } catch (const Error&) {
    clean_up();
    throw;
  }
  clean_up();
}

bool is_left_over_sign(const std::string& name) { return name.starts_with(prefix); }

}  // namespace switchyard
