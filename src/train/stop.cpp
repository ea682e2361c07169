#include "train/stop.hpp"

#include <omp.h>

#include <cassert>

namespace switchyard {
namespace {

// A signal frame holds all vector registers: 11 kB with AMX.
constexpr std::size_t stack_bytes = 64 << 10;

// A signal handler may only touch static storage. Used only by the handler below and by
// StopSignals.
volatile std::sig_atomic_t stop_requested = 0;
volatile std::sig_atomic_t interrupted = 0;
bool one_lives = false;

extern "C" void request_stop(int signal) {
  if (signal == SIGINT && interrupted) end_by_signal(signal);
  if (signal == SIGINT) interrupted = 1;
  stop_requested = 1;
}

void handle(int signal, struct sigaction& former) {
  struct sigaction action {};
  action.sa_handler = request_stop;
  // SA_RESTART: no system call of the step, or of MPI, fails because of a signal.
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  [[maybe_unused]] const int failed = sigaction(signal, &action, &former);
  assert(!failed);
}

// Applies `how` (SIG_BLOCK or SIG_UNBLOCK) in every other thread of the OpenMP team. Threads
// created later need no mask, since the kernel delivers to the main thread by preference.
void mask_in_team(int how) {
  sigset_t ours;
  sigemptyset(&ours);
  for (const int signal : ending_signals) sigaddset(&ours, signal);
#pragma omp parallel  // throws nothing
  if (omp_get_thread_num() != 0) pthread_sigmask(how, &ours, nullptr);
}

}  // namespace

StopSignals::StopSignals(Extent extent) : extent_(extent) {
  if (extent == Extent::block) mask_in_team(SIG_BLOCK);
  if (one_lives) return;
  one_lives = true;
  stop_requested = 0;
  interrupted = 0;
  stack_ = std::make_unique<std::byte[]>(stack_bytes);
  stack_t own{};
  own.ss_sp = stack_.get();
  own.ss_size = stack_bytes;
  [[maybe_unused]] const int failed = sigaltstack(&own, &former_stack_);
  assert(!failed);
  for (std::size_t i = 0; i < ending_signals.size(); ++i) {
    if (ending_signals[i] == SIGHUP && is_ignored(SIGHUP)) {
      former_[i].sa_handler = SIG_IGN;
    } else {
      handle(ending_signals[i], former_[i]);
    }
  }
}

StopSignals::~StopSignals() {
  if (!stack_) return;
  for (std::size_t i = 0; i < ending_signals.size(); ++i) {
    if (extent_ == Extent::process) {
      std::signal(ending_signals[i], SIG_IGN);
    } else {
      sigaction(ending_signals[i], &former_[i], nullptr);
    }
  }
  if (extent_ == Extent::block) mask_in_team(SIG_UNBLOCK);
  sigaltstack(&former_stack_, nullptr);
  one_lives = false;
}

bool StopSignals::requested() const { return stop_requested != 0; }

}  // namespace switchyard
