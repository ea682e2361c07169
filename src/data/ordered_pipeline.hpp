// Processes sequences of items with many threads: items are read ahead, worked on concurrently and
// consumed in order, in bounded memory. It knows threads and order, not what the items are.
#pragma once

#include <cassert>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

namespace switchyard {

template <class Item, class Result>
struct PipelineStages {
  // Returns the next item of a sequence; nullopt at its end. Never called concurrently for the same
  // sequence, but possibly for several sequences at once.
  std::function<std::optional<Item>(std::size_t sequence)> read;
  // Called concurrently for many items, one per thread (0 … threads-1).
  std::function<Result(Item, std::size_t thread)> work;
  // Called on the thread that runs the pipeline, in order: all items of sequence 0, then 1, and so
  // on.
  std::function<void(Result)> consume;
};

// Example with three sequences and two threads: A reads item 0 of sequence 0 (0.0) and works on it;
// B reads 0.1, works on it, finds sequence 0 at its end and reads 1.0. Items are consumed in the
// order 0.0, 0.1, 1.0 whichever is ready first.
template <class Item, class Result>
class OrderedPipeline {
 public:
  using Stages = PipelineStages<Item, Result>;

  OrderedPipeline(std::size_t sequences, std::size_t threads, const Stages& stages)
      : stages_(stages), sequences_(sequences), threads_(threads) {
    assert(threads > 0);
  }
  ~OrderedPipeline() { stop(); }  // must precede the joining of threads
  OrderedPipeline(const OrderedPipeline&) = delete;
  OrderedPipeline& operator=(const OrderedPipeline&) = delete;

  // Returns when all items are consumed. An exception of any stage is rethrown here in its turn:
  // after everything before it has been consumed, and nothing after it. To be called once.
  void run() {
    for (std::size_t i = 0; i < threads_; ++i) workers_.emplace_back([this, i] { work_along(i); });
    for (std::size_t s = 0; s < sequences_.size(); ++s)
      while (auto outcome = next_outcome(s)) {
        if (const auto* failure = std::get_if<std::exception_ptr>(&*outcome))
          std::rethrow_exception(*failure);
        stages_.consume(std::move(std::get<Result>(*outcome)));
      }
  }

 private:
  using Lock = std::unique_lock<std::mutex>;
  using Outcome = std::variant<Result, std::exception_ptr>;
  struct Slot {
    std::optional<Item> item;        // until a thread takes it
    std::optional<Outcome> outcome;  // once the work is done
  };
  struct Sequence {
    std::list<Slot> slots;  // items read and not yet consumed
    std::int64_t read = 0;  // number of items so far
    bool being_read = false, ended = false;
  };
  using Place = std::pair<std::size_t, std::int64_t>;  // sequence, item

  // The limit of items in flight, including those being read. Read-ahead in later sequences may use
  // only half of it, since the sequence being consumed could not proceed otherwise.
  std::size_t most_in_flight() const { return 8 * threads_; }
  std::size_t most_ahead() const { return 4 * threads_; }

  void work_along(std::size_t thread) {
    Lock lock(mutex_);
    while (!stopped_) {
      const auto sequence = waiting_.size() < threads_ ? readable() : std::nullopt;
      if (sequence) {
        read(*sequence, lock);
      } else if (!waiting_.empty()) {
        work(thread, lock);
      } else {
        changed_.wait(lock);
      }
    }
  }

  // The first sequence from which a thread may read the next item.
  std::optional<std::size_t> readable() {
    while (unended_ < sequences_.size() && sequences_[unended_].ended) ++unended_;
    for (std::size_t s = unended_; s < sequences_.size(); ++s) {
      if (in_flight_ >= (s == consumed_ ? most_in_flight() : most_ahead())) return std::nullopt;
      if (!sequences_[s].being_read && !sequences_[s].ended) return s;
    }
    return std::nullopt;
  }

  void read(std::size_t s, Lock& lock) {
    Sequence& sequence = sequences_[s];
    sequence.being_read = true;
    ++in_flight_;
    lock.unlock();
    Slot slot;
    try {
      slot.item = stages_.read(s);
    } catch (...) {
      slot.outcome = std::current_exception();
    }
    lock.lock();
    sequence.being_read = false;
    sequence.ended = !slot.item;
    if (slot.item || slot.outcome) {
      Slot& kept = sequence.slots.emplace_back(std::move(slot));
      if (kept.item) waiting_.emplace(Place(s, sequence.read), &kept);
      ++sequence.read;
    } else {
      --in_flight_;
    }
    changed_.notify_all();
  }

  // Works on the first waiting item.
  void work(std::size_t thread, Lock& lock) {
    Slot& slot = *waiting_.extract(waiting_.begin()).mapped();
    lock.unlock();
    auto outcome = [&]() -> Outcome {
      try {
        return stages_.work(std::move(*slot.item), thread);
      } catch (...) {
        return std::current_exception();
      }
    }();
    slot.item.reset();
    lock.lock();
    slot.outcome = std::move(outcome);
    changed_.notify_all();
  }

  // The next outcome of sequence s; nullopt at its end.
  std::optional<Outcome> next_outcome(std::size_t s) {
    Lock lock(mutex_);
    Sequence& sequence = sequences_[s];
    consumed_ = s;
    changed_.notify_all();
    changed_.wait(lock, [&] {
      return sequence.slots.empty() ? sequence.ended : sequence.slots.front().outcome.has_value();
    });
    if (sequence.slots.empty()) return std::nullopt;
    auto outcome = std::move(sequence.slots.front().outcome);
    sequence.slots.pop_front();
    --in_flight_;
    changed_.notify_all();
    return outcome;
  }

  void stop() {
    const Lock lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

  const Stages& stages_;
  std::mutex mutex_;  // guards all of the following except the threads
  std::condition_variable changed_;
  std::vector<Sequence> sequences_;
  std::map<Place, Slot*> waiting_;  // read, and not yet taken by a thread
  std::size_t consumed_ = 0;        // the sequence being consumed
  std::size_t unended_ = 0;         // all sequences before this one are read to their end
  std::size_t in_flight_ = 0;
  bool stopped_ = false;
  const std::size_t threads_;
  std::vector<std::jthread> workers_;
};

}  // namespace switchyard
