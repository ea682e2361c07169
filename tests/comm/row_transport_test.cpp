#include "comm/row_transport.hpp"

#include <gtest/gtest.h>

#include "comm/canonical.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

constexpr std::int64_t width = 3;

// The rows of every pair of processes; some pairs have none.
std::int64_t rows_between(Rank from, Rank to) { return (5 * from.value + 3 * to.value + 1) % 4; }

// The element that says where a row comes from, where it goes, and which it is.
std::int64_t element(Rank from, Rank to, std::int64_t row, std::int64_t column) {
  return ((from.value * 100 + to.value) * 100 + row) * 10 + column;
}

// Of those, the ones in each chunk; some chunks have none.
std::int64_t rows_between(Rank from, Rank to, std::int64_t chunk, std::int64_t chunks) {
  const std::int64_t rows = rows_between(from, to);
  return (chunk + 1) * rows / chunks - chunk * rows / chunks;
}

// The lengths of the messages that announce the rows: a number per chunk, and then more.
RowTransport::MessageSize message_length(std::int64_t chunks) {
  return [chunks](Rank from, Rank to) { return chunks + (from.value + to.value) % 3; };
}

// What `self` sends to all, or receives from all, packed in the order of the peers.
template <class T>
std::vector<T> packed_rows(const RowTransport& transport, Rank self, bool sent) {
  std::vector<T> rows;
  for (const Rank p : transport.peers()) {
    const Rank from = sent ? self : p, to = sent ? p : self;
    for (std::int64_t row = 0; row < rows_between(from, to); ++row)
      for (std::int64_t c = 0; c < width; ++c)
        rows.push_back(static_cast<T>(element(from, to, row, c)));
  }
  return rows;
}

std::vector<std::int64_t> packed_messages(const RowTransport& transport, Rank self, bool sent) {
  std::vector<std::int64_t> messages;
  for (const Rank p : transport.peers()) {
    const Rank from = sent ? self : p, to = sent ? p : self;
    const std::int64_t chunks = transport.chunks();
    for (std::int64_t c = 0; c < chunks; ++c) messages.push_back(rows_between(from, to, c, chunks));
    for (std::int64_t i = chunks; i < message_length(chunks)(from, to); ++i)
      messages.push_back(element(from, to, i, 7));
  }
  return messages;
}

Buffer<RowCounts> reversed(const Buffer<RowCounts>& chunks) {
  Buffer<RowCounts> result;
  for (const RowCounts& rows : chunks) result.push_back(rows.reversed());
  return result;
}

template <class T>
void expect_rows_arrive(const RowTransport& transport, const Buffer<RowCounts>& chunks) {
  const Rank self = test_world().rank();
  const auto sent = packed_rows<T>(transport, self, true),
             expected = packed_rows<T>(transport, self, false);
  std::vector<T> received(expected.size()), back(sent.size());
  transport.transfer<T>(chunks, sent, received, width);
  EXPECT_EQ(received, expected);
  transport.transfer<T>(reversed(chunks), received, back, width);
  EXPECT_EQ(back, sent);
}

// All chunks are under way in both directions before the first is waited for.
template <class T>
void expect_rows_arrive_together(const RowTransport& transport, const Buffer<RowCounts>& chunks) {
  const Rank self = test_world().rank();
  const auto sent = packed_rows<T>(transport, self, true),
             expected = packed_rows<T>(transport, self, false);
  std::vector<T> received(expected.size()), back(sent.size());
  const Buffer<RowCounts> returning = reversed(chunks);
  std::vector<RowTransfer<T>> there, here;
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    there.push_back(transport.start<T>(chunks[c], sent, received, width));
    here.push_back(transport.start<T>(returning[c], expected, back, width));
    there.back().advance();
  }
  for (std::size_t c = 0; c < chunks.size(); ++c) there[c].finish(), here[c].finish();
  EXPECT_EQ(received, expected);
  EXPECT_EQ(back, sent);
}

void expect_all_arrives(const RowTransport& transport) {
  const Rank self = test_world().rank();
  const std::int64_t chunks = transport.chunks();
  const auto announced =
      transport.announce(packed_messages(transport, self, true), message_length(chunks));
  EXPECT_EQ(announced.messages, packed_messages(transport, self, false));
  ASSERT_EQ(std::ssize(announced.rows), chunks);
  for (std::int64_t c = 0; c < chunks; ++c) {
    std::int64_t peer = 0;
    for (const Rank p : transport.peers()) {
      EXPECT_EQ(announced.rows[c].send[peer], rows_between(self, p, c, chunks));
      EXPECT_EQ(announced.rows[c].recv[peer++], rows_between(p, self, c, chunks));
    }
  }
  expect_rows_arrive<std::int64_t>(transport, announced.rows);
  expect_rows_arrive<float>(transport, announced.rows);
  expect_rows_arrive_together<float>(transport, announced.rows);
}

Layout layout_of(int groups) { return {12, test_world().size(), groups, 12}; }

bool allowed(int groups) {
  const int processes = test_world().size();
  return groups == 1 || processes % groups == 0 || groups % processes == 0;
}

TEST(RowTransport, BringsEachRowToItsProcessAndBack) {
  for (const int groups : {1, 2, 3, 4, 12})
    if (allowed(groups)) expect_all_arrives(RowTransport(test_world(), layout_of(groups)));
}

TEST(RowTransport, BringsRowsInChunks) {
  for (const int groups : {1, 2, 12})
    for (const int chunks : {2, 3, 100})
      if (allowed(groups))
        expect_all_arrives({test_world(), layout_of(groups), {.chunks = chunks}});
}

TEST(RowTransport, HasAtMostAChunkPerExpertOfAProcess) {
  const int processes = test_world().size();
  const RowTransport transport(test_world(), layout_of(1), {.chunks = 100});
  EXPECT_EQ(transport.chunks(), processes == 1 ? 1 : (12 + processes - 1) / processes);
  EXPECT_EQ(RowTransport(test_world(), layout_of(1)).chunks(), 1);
  EXPECT_EQ(RowTransport(test_world(), {12, processes, 1, 0}, {.chunks = 4}).chunks(), 1)
      << "a dense model";
}

TEST(RowTransport, StaysInsideTheGroup) {
  for (const int groups : {1, 2, 3, 4, 12}) {
    if (!allowed(groups)) continue;
    const Layout layout = layout_of(groups);
    const RowTransport transport(test_world(), layout);
    EXPECT_EQ(transport.peers().size(), std::max(1, test_world().size() / groups));
    for (const Rank p : transport.peers())
      EXPECT_EQ(layout.groups_of(p).first, layout.groups_of(test_world().rank()).first);
  }
}

// Every way of placing up to four processes on hosts, uneven and interleaved ones included.
TEST(RowTransport, GivesTheSameRowsThroughRelays) {
  const int processes = test_world().size();
  int placements = 1;
  for (int p = 0; p < processes; ++p) placements *= processes;
  for (int placement = 0; placement < placements; ++placement) {
    SCOPED_TRACE("placement " + std::to_string(placement));
    std::int64_t host = placement;
    for (std::int64_t p = 0; p < test_world().rank().value; ++p) host /= processes;
    host = 1000 + 7 * (host % processes);
    for (const int groups : {1, 2})
      for (const int chunks : {1, 3})
        if (allowed(groups))
          expect_all_arrives(
              {test_world(),
               layout_of(groups),
               {.way = RowTransport::Way::two_level, .chunks = chunks, .host = host}});
  }
}

// As in a step: sums of gradients are on their way while rows pass the relays, and processes are
// not equally far with them.
TEST(RowTransport, IsNotConfusedBySumsOnTheirWay) {
  constexpr std::int64_t n = 40000;
  const int processes = test_world().size();
  const Rank self = test_world().rank();
  const RowTransport transport(
      test_world(), layout_of(1),
      {.way = RowTransport::Way::two_level, .chunks = 2, .host = self.value % 2});
  const auto announced = transport.announce(packed_messages(transport, self, true),
                                            message_length(transport.chunks()));
  CanonicalSum<float> sum(test_world(), {processes, processes}, n, 5000);
  std::vector<float> values(n);
  for (std::int64_t i = 0; i < n; ++i) values[i] = static_cast<float>(i % 1000 + self.value);
  const std::span<float> leaf(values);
  sum.begin({&leaf, 1});
  for (std::int64_t first = n - 5000; first >= 0; first -= 5000) {
    if (self.value % 2 == 0) sum.final_from(first);
    expect_rows_arrive_together<float>(transport, announced.rows);
    if (self.value % 2 == 1) sum.final_from(first);
  }
  sum.finish();
  for (std::int64_t i = 0; i < n; ++i)
    ASSERT_EQ(values[i],
              static_cast<float>(processes * (i % 1000) + processes * (processes - 1) / 2));
}

}  // namespace
}  // namespace switchyard
