// The trial of an unknown tokenizer model in another process: both the parent's and the child's
// side.
#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <iterator>
#include <memory>
#include <vector>

#include "base/error.hpp"
#include "data/tokenizer.hpp"
#include "data/utf8.hpp"

namespace switchyard {

namespace {

constexpr unsigned longest_trial_seconds = 60;
// The child's exit code if nothing crashed; unlikely to be another program's by chance.
constexpr int survived = 117;
constexpr const char* inside_trial = "SWITCHYARD_TOKENIZER_TRIAL";

Error cannot_try(int reason) {
  return Error(ExitCode::machine_cannot,
               std::string("cannot start a process to try the tokenizer: ") + std::strerror(reason),
               "is there memory, and /proc?");
}

// Crashes come from the normaliser's trie, which is walked anew at each character. The texts
// therefore contain every character, and every Latin or Greek letter followed by every common
// accent.
std::vector<std::string> trial_texts() {
  std::vector<std::string> texts(1);
  texts.back() = "A switchyard sorts cars onto tracks; this one sorts tokens onto experts.";
  const auto add = [&](std::uint32_t code) {
    if (texts.back().size() >= 4096) texts.emplace_back();
    append_utf8(texts.back(), code);
  };
  for (std::uint32_t code = 1; code < 0x30000; ++code)
    if (code < 0xD800 || code > 0xDFFF) add(code);
  for (std::uint32_t letter = 'A'; letter < 0x400; ++letter)
    for (std::uint32_t accent = 0x300; accent < 0x346; ++accent) {
      add(letter);
      add(accent);
    }
  return texts;
}

// Allows no core file, no output, and a limited time.
void confine() {
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const int null = open("/dev/null", O_WRONLY);
  dup2(null, STDOUT_FILENO);
  dup2(null, STDERR_FILENO);
  alarm(longest_trial_seconds);
}

// Starts this program with the trial's word and `input` as its standard input.
pid_t start_child(int input) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  std::string program = "switchyard", word = tokenizer_trial_word, mark = inside_trial;
  char* const arguments[] = {program.data(), word.data(), nullptr};
  std::vector<char*> environment;
  for (char** variable = environ; *variable != nullptr; ++variable)
    environment.push_back(*variable);
  mark += "=1";
  environment.insert(environment.end(), {mark.data(), nullptr});
  pid_t child = -1;
  const int error =
      posix_spawn(&child, "/proc/self/exe", &actions, nullptr, arguments, environment.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw cannot_try(error);
  return child;
}

// Sends all bytes, unless the reader exits before.
void send_all(int socket, const std::string& bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t sent = send(socket, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR) return;
    at += static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
  }
}

// Runs the trial and returns the child's wait status. The child reads the model from a socket,
// since a file would be subject to limits on file sizes.
int status_of_trial(const std::string& model) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw cannot_try(errno);
  const auto close_end = [](const int* end) { close(*end); };
  std::unique_ptr<const int, decltype(close_end)> ours(&ends[0]), theirs(&ends[1]);
  const pid_t child = start_child(ends[1]);
  theirs.reset();
  send_all(ends[0], model);
  ours.reset();
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

int run_tokenizer_trial() {
  confine();
  const std::string model{std::istreambuf_iterator<char>(std::cin), {}};
  try {
    const Tokenizer tokenizer(model, "the model");
    for (const std::string& text : trial_texts()) tokenizer.decode(tokenizer.encode(text));
  } catch (const Error&) {
    // The parent gets the same Error when it loads the model, and can report it.
  }
  return survived;
}

void try_tokenizer_model(const std::string& model, const std::string& name) {
  // A program that does not check for the word would start itself endlessly.
  assert(std::getenv(inside_trial) == nullptr);
  const int status = status_of_trial(model);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != survived)
    throw Error(ExitCode::damaged_data,
                name + " is damaged: SentencePiece crashes on it when it is loaded or used",
                "copy it anew, or give --vocab-size to train one");
}

}  // namespace switchyard
