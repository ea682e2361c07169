#include "moe/row_exchange.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "moe/routings.hpp"
#include "moe/usable_comm.hpp"
#include "moe/whole_exchange.hpp"
#include "support/mpi_main.hpp"
#include "tensor/rounding.hpp"

namespace switchyard {
namespace {

constexpr std::int64_t N = 40, D = 5, C = 7;

// A layout over the test's processes, and the rest of a step's context. Each row of `source`
// encodes which token it is: (virtual rank, token, expert, …).
struct Setting {
  int V, G, E;
  RowTransport::Options options;
  Comm comm = usable_comm(test_world(), V, G);
  Layout layout{V, comm.size(), G, E};
  PhaseTimer timer{};
  Work work{};
  RowTransport transport{comm, layout, options};
  StepContext context{comm, transport, layout, 1, 0, Mode::train, timer, work};
  std::vector<Selection> selections = hosted_selections(layout, comm.rank(), N, C);
  DispatchPlan plan = plan_dispatch(layout, comm.rank(), pointers(selections), transport.chunks());
  Tensor<float> source = Tensor<float>::zeros(layout.hosted(comm.rank()).size() * N, D);

  Setting(int v, int g, int e, RowTransport::Options o) : V(v), G(g), E(e), options(o) {
    for (std::int64_t row = 0; row < source.rows(); ++row) {
      source.view()(row, 0) = static_cast<float>(context.hosted().first.value + row / N);
      source.view()(row, 1) = static_cast<float>(row % N);
      source.view()(row, 2) = static_cast<float>(selections[row / N].expert[row % N]);
      source.view()(row, 3) = static_cast<float>(row * row);
    }
  }
  Tensor<float> packed() const { return gather_rows(source.view(), plan.rows); }
};

// Each process is a host of its own for the two-level way.
RowTransport::Options options(int chunks, int two_level) {
  return {.way = two_level != 0 ? RowTransport::Way::two_level : RowTransport::Way::direct,
          .chunks = chunks,
          .host = test_world().rank().value};
}

class RowExchanges : public testing::TestWithParam<std::array<int, 5>> {
 protected:
  Setting setting{GetParam()[0], GetParam()[1], GetParam()[2],
                  options(GetParam()[3], GetParam()[4])};
};

TEST_P(RowExchanges, ReturnsEachRowToItsToken) {
  const RowExchange exchange(setting.context, setting.plan);
  const Tensor<float> back = from_experts(setting.context, exchange,
                                          to_experts(setting.context, exchange, setting.packed()));
  const Tensor<float> sent = setting.packed();
  ASSERT_EQ(back.rows(), sent.rows());
  EXPECT_TRUE(std::equal(back.flat().begin(), back.flat().end(), sent.flat().begin()));
}

TEST_P(RowExchanges, MovesRowsOfBfloat16AsItMovesOthersInHalfTheBytes) {
  const RowExchange exchange(setting.context, setting.plan);
  Tensor<bfloat16> packed = rounded<bfloat16>(setting.packed());
  EXPECT_EQ(2 * packed.flat().size_bytes(), setting.packed().flat().size_bytes());
  const Tensor<float> expected = to_experts(setting.context, exchange, setting.packed());
  Tensor<bfloat16> gathered = to_experts(setting.context, exchange, std::move(packed));
  ASSERT_EQ(gathered.size(), expected.size());
  for (std::size_t i = 0; i < expected.flat().size(); ++i)
    ASSERT_EQ(gathered.flat()[i], to_bfloat16(expected.flat()[i]));
  const Tensor<bfloat16> back = from_experts(setting.context, exchange, std::move(gathered));
  const Tensor<bfloat16> sent = rounded<bfloat16>(setting.packed());
  ASSERT_EQ(back.size(), sent.size());
  EXPECT_TRUE(std::equal(back.flat().begin(), back.flat().end(), sent.flat().begin()));
}

TEST_P(RowExchanges, GivesOwnersTheirRowsInCanonicalOrder) {
  const Layout& layout = setting.layout;
  const Rank self = setting.comm.rank();
  const RowExchange exchange(setting.context, setting.plan);
  const Tensor<float> gathered = to_experts(setting.context, exchange, setting.packed());
  std::int64_t next = 0;
  auto batch = exchange.batches().begin();
  for (const GroupId g : layout.groups_of(self)) {
    for (const ExpertId e : layout.owned_experts(self)) {
      ASSERT_NE(batch, exchange.batches().end());
      EXPECT_EQ(batch->group, g);
      EXPECT_EQ(batch->expert, e);
      EXPECT_EQ(batch->first, next);
      for (const VirtualRank v : layout.members(g)) {
        std::int64_t taken = 0;
        const auto experts = random_experts(v, N, layout.experts());
        for (std::int64_t t = 0; t < N; ++t) {
          if (experts[t] != e.value || taken++ >= C) continue;
          ASSERT_LT(next, gathered.rows());
          EXPECT_EQ(gathered.view()(next, 0), v.value);
          EXPECT_EQ(gathered.view()(next, 1), t);
          EXPECT_EQ(gathered.view()(next, 2), e.value);
          ++next;
        }
      }
      EXPECT_EQ(batch->first + batch->rows, next);
      ++batch;
    }
  }
  EXPECT_EQ(batch, exchange.batches().end());
  EXPECT_EQ(gathered.rows(), next);
}

TEST_P(RowExchanges, SendsExactlyTheKeptRows) {
  const RowExchange exchange(setting.context, setting.plan);
  std::int64_t totals[3] = {};  // sent, received, kept by the selections
  for (const std::int64_t rows : setting.plan.send_rows) totals[0] += rows;
  totals[1] = exchange.owned_rows();
  for (const Selection& s : setting.selections)
    totals[2] += std::count(s.fate.begin(), s.fate.end(), Fate::kept);
  const Tensor<float> packed = setting.packed();
  EXPECT_EQ(packed.flat().size_bytes(), static_cast<std::size_t>(totals[2] * D * 4));
  all_reduce_sum(setting.comm, totals);
  EXPECT_EQ(totals[0], totals[1]);
  EXPECT_EQ(totals[0], totals[2]);
}

TEST_P(RowExchanges, KeepsRowsInsideTheirGroup) {
  const Rank self = setting.comm.rank();
  const RowExchange exchange(setting.context, setting.plan);
  for (const Rank p : setting.transport.peers())
    EXPECT_EQ(setting.layout.groups_of(p).first, setting.layout.groups_of(self).first);
  EXPECT_EQ(std::ssize(setting.plan.send_rows),
            setting.transport.peers().size() * setting.transport.chunks());
  for (std::int64_t chunk = 0; chunk < exchange.chunks(); ++chunk)
    EXPECT_EQ(std::ssize(exchange.there(chunk).recv), setting.transport.peers().size());
}

TEST_P(RowExchanges, CarriesTheTokenIndexOfEachRow) {
  std::vector<std::uint64_t> index;  // larger than a float can represent
  for (std::int64_t row = 0; row < setting.source.rows(); ++row)
    index.push_back((std::uint64_t{1} << 60) + (setting.context.hosted().first.value * N + row));
  const RowExchange exchange(setting.context, setting.plan);
  const auto carried = exchange.indices_to_experts(setting.context, setting.plan, index);
  const Tensor<float> gathered = to_experts(setting.context, exchange, setting.packed());
  ASSERT_EQ(std::ssize(carried), gathered.rows());
  for (std::int64_t i = 0; i < gathered.rows(); ++i) {
    const auto token =
        static_cast<std::uint64_t>(gathered.view()(i, 0) * N + gathered.view()(i, 1));
    EXPECT_EQ(carried[i], (std::uint64_t{1} << 60) + token);
  }
}

TEST_P(RowExchanges, NoticesThatRowsSentAreNotRowsReceived) {
  setting.plan.segment_rows[0] += 1;  // a flipped bit in the count for the first owner
  const Rank self = setting.comm.rank();
  const Rank misled = setting.layout.owner(ExpertId{0}, setting.layout.groups_of(self).first);
  if (self != misled) {
    EXPECT_NO_THROW(RowExchange(setting.context, setting.plan));
    return;
  }
  try {
    RowExchange(setting.context, setting.plan);
    ADD_FAILURE() << "the exchange went on with the wrong number of rows";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::silent_corruption);
    EXPECT_THAT(error.what(), testing::HasSubstr("to process " + std::to_string(misled.value)));
  }
}

// The rows that virtual ranks of process `from` send to experts of process `to`.
std::int64_t kept_rows(const Layout& layout, Rank from, Rank to) {
  std::int64_t rows = 0;
  for (const VirtualRank v : layout.hosted(from)) {
    const auto experts = random_experts(v, N, layout.experts());
    for (ExpertId e{0}; e.value < layout.experts(); ++e) {
      if (layout.owner(e, layout.group(v)) == to)
        rows += std::min<std::int64_t>(std::ranges::count(experts, e.value), C);
    }
  }
  return rows;
}

TEST_P(RowExchanges, RecordsEachTransferAndTheBytesThatLeaveItsProcess) {
  const RowExchange exchange(setting.context, setting.plan, 3);
  Tensor<float> rows = to_experts(setting.context, exchange, setting.packed());
  from_experts(setting.context, exchange, std::move(rows), Pass::backward);

  const Rank self = setting.comm.rank();
  std::int64_t sent = 0, returned = 0;
  for (Rank p{0}; p.value < setting.comm.size(); ++p) {
    if (p == self) continue;
    sent += kept_rows(setting.layout, self, p) * D * 4;
    returned += kept_rows(setting.layout, p, self) * D * 4;
  }
  const auto& transfers = setting.timer.transfers();
  for (const Transfer& transfer : transfers) {
    EXPECT_EQ(transfer.layer, 3U);
    EXPECT_GT(transfer.seconds, 0);
  }
  EXPECT_EQ(transfers.at(0).bytes, 0) << "counts are no rows";
  if (setting.transport.peers().size() == 1) {
    EXPECT_EQ(transfers.size(), 1U) << "rows stay where they are";
    return;
  }
  ASSERT_EQ(transfers.size(), 3U);
  EXPECT_EQ(transfers[1].direction, Transfer::Direction::to_experts);
  EXPECT_EQ(transfers[1].pass, Pass::forward);
  EXPECT_EQ(transfers[1].bytes, sent);
  EXPECT_EQ(transfers[2].direction, Transfer::Direction::from_experts);
  EXPECT_EQ(transfers[2].pass, Pass::backward);
  EXPECT_EQ(transfers[2].bytes, returned);
}

// The largest number of chunks is one per expert.
TEST_P(RowExchanges, DividesTheExpertsOfEachProcessIntoChunks) {
  const RowExchange exchange(setting.context, setting.plan);
  EXPECT_LE(exchange.chunks(), std::max(1, GetParam()[3]));
  std::int64_t rows = 0;
  auto batch = exchange.batches().begin();
  for (std::int64_t chunk = 0; chunk < exchange.chunks(); ++chunk) {
    for (const ExpertBatch& of_chunk : exchange.batches(chunk)) {
      EXPECT_EQ(of_chunk.first, rows);
      EXPECT_EQ(&of_chunk, &*batch++);
      rows += of_chunk.rows;
    }
  }
  EXPECT_EQ(batch, exchange.batches().end());
  EXPECT_EQ(rows, exchange.owned_rows());
}

// While the experts of one chunk are computed, the next is on its way, and results of earlier ones.
TEST_P(RowExchanges, SendsAChunkBackWhileOthersAreStillOnTheirWay) {
  const RowExchange exchange(setting.context, setting.plan);
  ArrivingRows<float> arriving(setting.context, exchange, setting.packed(), Pass::forward);
  LeavingRows<float> leaving(setting.context, exchange, Pass::forward);
  for (std::int64_t chunk = 0; chunk < exchange.chunks(); ++chunk) {
    arriving.receive();
    const BatchRows range = rows_of(exchange.batches(chunk));
    auto twice = Tensor<float>::uninitialized(range.rows, D);
    for (std::int64_t i = 0; i < range.rows; ++i)
      for (std::int64_t d = 0; d < D; ++d)
        twice.view()(i, d) = 2 * arriving.rows()(range.first + i, d);
    arriving.advance();
    leaving.send(std::move(twice));
    leaving.advance();
  }
  const Tensor<float> back = leaving.finish(), sent = setting.packed();
  ASSERT_EQ(back.rows(), sent.rows());
  for (std::int64_t i = 0; i < sent.size(); ++i) ASSERT_EQ(back.data()[i], 2 * sent.data()[i]);
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, RowExchanges,
    testing::Values(std::array{4, 1, 8, 1, 0}, std::array{4, 1, 3, 1, 0}, std::array{5, 1, 1, 1, 0},
                    std::array{4, 2, 3, 1, 0}, std::array{4, 4, 2, 1, 0}, std::array{1, 1, 4, 1, 0},
                    std::array{4, 1, 8, 1, 1}, std::array{4, 1, 8, 2, 0}, std::array{4, 1, 9, 3, 1},
                    std::array{4, 1, 3, 2, 0}, std::array{4, 2, 5, 7, 0}, std::array{4, 2, 6, 2, 1},
                    std::array{5, 1, 1, 3, 1}),
    [](const auto& info) {
      return "V" + std::to_string(info.param[0]) + "G" + std::to_string(info.param[1]) + "E" +
             std::to_string(info.param[2]) + "Chunks" + std::to_string(info.param[3]) +
             (info.param[4] != 0 ? "TwoLevel" : "Direct");
    });

}  // namespace
}  // namespace switchyard
