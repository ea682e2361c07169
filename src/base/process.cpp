#include "base/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>

namespace switchyard {
namespace {

constexpr std::size_t most_places = 8, longest_name = 4096;

// A signal handler may only touch static storage.
struct Place {
  std::atomic<bool> taken = false, ready = false;
  char name[longest_name];
};
Place places[most_places];
alignas(64) char handler_stack[64 << 10];

// Where to find the fields of the kernel's linux_dirent64. std::filesystem and readdir allocate,
// which a signal handler must not do.
struct DirectoryEntry {
  static constexpr std::size_t size_at = 16, name_at = 19;
};

void remove_directory(int parent, const char* name, int depth);

// Returns false at the end of the directory.
bool remove_some_entries(int directory, int depth) {
  alignas(8) char buffer[2048];
  const long got = syscall(SYS_getdents64, directory, buffer, sizeof buffer);
  for (long at = 0; at < got;) {
    unsigned short size = 0;
    std::memcpy(&size, buffer + at + DirectoryEntry::size_at, sizeof size);
    const char* const name = buffer + at + DirectoryEntry::name_at;
    at += size;
    if (std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0) continue;
    if (unlinkat(directory, name, 0) != 0) remove_directory(directory, name, depth + 1);
  }
  return got > 0;
}

void remove_directory(int parent, const char* name, int depth) {
  constexpr int deepest = 16;  // maximum depth of directories that this program creates
  const int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (directory < 0) return;
  if (depth < deepest) {
    while (remove_some_entries(directory, depth)) {
    }
  }
  close(directory);
  unlinkat(parent, name, AT_REMOVEDIR);
}

extern "C" void handle_ending(int signal) { end_by_signal(signal); }

}  // namespace

RemovedOnSignal::RemovedOnSignal(const std::string& directory) : place_(most_places) {
  if (directory.size() >= longest_name) return;
  for (place_ = 0; place_ < most_places; ++place_) {
    if (!places[place_].taken.exchange(true)) break;
  }
  if (place_ == most_places) return;
  std::copy_n(directory.c_str(), directory.size() + 1, places[place_].name);
  places[place_].ready = true;
}

RemovedOnSignal::~RemovedOnSignal() {
  if (place_ == most_places) return;
  places[place_].ready = false;
  places[place_].taken = false;
}

void end_by_signal(int signal) {
  for (const Place& place : places) {
    if (place.ready) remove_directory(AT_FDCWD, place.name, 0);
  }
  std::signal(signal, SIG_DFL);
  sigset_t own;
  sigemptyset(&own);
  sigaddset(&own, signal);
  pthread_sigmask(SIG_UNBLOCK, &own, nullptr);
  std::raise(signal);
  _exit(128 + signal);
}

void remove_directories_on_signals() {
  // The handler runs on a stack of its own: inside oneDNN's products the stack pointer points into
  // their buffers
  stack_t stack{};
  stack.ss_sp = handler_stack;
  stack.ss_size = sizeof handler_stack;
  sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_handler = handle_ending;
  action.sa_flags = SA_ONSTACK;
  sigfillset(&action.sa_mask);
  for (const int signal : ending_signals) {
    if (signal == SIGHUP && is_ignored(signal)) continue;
    sigaction(signal, &action, nullptr);
  }
}

void end_with_parent() { prctl(PR_SET_PDEATHSIG, SIGKILL); }

void ignore_failing_writes() {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

void open_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", O_RDWR);  // takes the lowest free number
  }
}

bool has_lost_its_reader(int fd) {
  pollfd stream{.fd = fd, .events = POLLOUT, .revents = 0};
  return poll(&stream, 1, 0) == 1 && (stream.revents & (POLLERR | POLLHUP)) != 0;
}

bool is_ignored(int signal) {
  struct sigaction now {};
  return sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

}  // namespace switchyard
