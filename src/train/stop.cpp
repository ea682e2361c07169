#include "train/stop.hpp"

#include <cassert>

namespace switchyard {
namespace {

// A signal handler can reach nothing but static storage; only the handler below and StopSignals do.
volatile std::sig_atomic_t stop_requested = 0;
volatile std::sig_atomic_t interrupted = 0;

extern "C" void request_stop(int signal) {
  if (signal == SIGINT && interrupted) {
    std::signal(SIGINT, SIG_DFL);  // delivered when this handler returns
    std::raise(SIGINT);
    return;
  }
  if (signal == SIGINT) interrupted = 1;
  stop_requested = 1;
}

void handle(int signal, struct sigaction& former) {
  struct sigaction action {};
  action.sa_handler = request_stop;
  action.sa_flags = SA_RESTART;  // no system call of the step, or of MPI, fails because of it
  sigemptyset(&action.sa_mask);
  [[maybe_unused]] const int failed = sigaction(signal, &action, &former);
  assert(!failed);
}

}  // namespace

StopSignals::StopSignals() {
  stop_requested = 0;
  interrupted = 0;
  handle(SIGINT, interrupt_);
  handle(SIGTERM, terminate_);
  handle(SIGUSR1, user_);
}

StopSignals::~StopSignals() {
  sigaction(SIGINT, &interrupt_, nullptr);
  sigaction(SIGTERM, &terminate_, nullptr);
  sigaction(SIGUSR1, &user_, nullptr);
}

bool StopSignals::requested() const { return stop_requested != 0; }

}  // namespace switchyard
