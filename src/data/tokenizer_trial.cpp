// The trial of an unknown tokenizer model in a child process.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.hpp"
#include "data/tokenizer.hpp"

namespace switchyard {

namespace {

constexpr unsigned longest_trial_seconds = 60;

void append_utf8(std::string& text, std::uint32_t code) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | code >> 12);
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xF0 | code >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

// Damage sits where the normaliser walks its trie, which begins anew at each character: so every
// character, and every Latin or Greek letter with every common accent after it.
std::vector<std::string> trial_texts() {
  std::vector<std::string> texts{
      "A switchyard sorts cars onto tracks; this one sorts tokens onto experts."};
  std::string text;
  const auto add = [&](std::uint32_t code) {
    append_utf8(text, code);
    if (text.size() < 4096) return;
    texts.push_back(std::move(text));
    text.clear();
  };
  for (std::uint32_t code = 1; code < 0x30000; ++code)
    if (code < 0xD800 || code > 0xDFFF) add(code);
  for (std::uint32_t letter = 'A'; letter < 0x400; ++letter)
    for (std::uint32_t accent = 0x300; accent < 0x346; ++accent) {
      add(letter);
      add(accent);
    }
  texts.push_back(std::move(text));
  return texts;
}

[[noreturn]] void run_trial(const std::string& model, const std::string& name) {
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const int null = open("/dev/null", O_WRONLY);
  dup2(null, STDOUT_FILENO);
  dup2(null, STDERR_FILENO);
  alarm(longest_trial_seconds);
  try {
    const Tokenizer tokenizer(model, name);
    for (const std::string& text : trial_texts()) tokenizer.decode(tokenizer.encode(text));
  } catch (const Error&) {
    // The parent meets the same Error when it loads the model, and can say it.
  }
  _exit(0);
}

}  // namespace

void try_tokenizer_model(const std::string& model, const std::string& name) {
  const pid_t child = fork();
  if (child < 0)
    throw Error(
        ExitCode::machine_cannot,
        std::string("cannot start a process to try the tokenizer: ") + std::strerror(errno));
  if (child == 0) run_trial(model, name);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw Error(ExitCode::damaged_data,
                name + " is damaged: SentencePiece crashes on it when it is loaded or used",
                "copy it anew, or give --vocab-size to train one");
}

}  // namespace switchyard
