#include "optim/update_share.hpp"

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>

#include "comm/piece_gather.hpp"
#include "comm/request.hpp"
#include "optim/elementwise.hpp"

namespace switchyard {
namespace {

std::vector<TensorShape> dense_shapes(const ParamSet& params) {
  std::vector<TensorShape> shapes;
  for (const Param& param : params.params().first(params.dense_count()))
    shapes.push_back({param.spec.rows, param.spec.cols});
  return shapes;
}

// Messages of tensors that share a process need different tags, and those are neighbours.
constexpr std::size_t tags = 1 << 10;

// The state of a tensor has the tensor's name before the slash.
bool is_state_of(const NamedTensor& state, const Param& param) {
  return state.name.starts_with(param.name() + "/");
}

}  // namespace

UpdateShare::UpdateShare(const Comm& comm, ParamSet& params)
    : comm_(comm.duplicate()), params_(params), ownership_(dense_shapes(params), comm.size()) {
  for (std::size_t i = 0; i < params.params().size(); ++i) {
    const std::int64_t all = params[i].spec.rows;
    rows_.push_back(params[i].is_expert() ? RowRange{0, all} : ownership_.rows(i, comm_.rank()));
    if (rows_[i].size() == 0 || rows_[i].size() == all) continue;
    cuts_.push_back({i, OwnerChain(comm_, ownership_.owners(i), static_cast<int>(i % tags))});
  }
  assert(cuts_.size() <= 2);
  if (cuts_.size() == 2 && !cuts_[0].chain.is_first()) std::swap(cuts_[0], cuts_[1]);
}

void UpdateShare::gather_values() {
  const std::size_t dense = params_.dense_count();
  if (dense == 0) return;
  assert(params_.dense_offset(dense - 1) + params_[dense - 1].value.size() <=
         ownership_.first_element(comm_.size()));
  gather_pieces(
      comm_, ownership_,
      {params_[0].value.data, static_cast<std::size_t>(ownership_.first_element(comm_.size()))});
  for (std::size_t i = 0; i < dense; ++i) {
    Param& param = params_[i];
    if (param.rounded.size() == 0) continue;
    const auto round = [&](std::int64_t first, std::int64_t count) {
      param.round_values(first, count);
    };
    for_each_run(param, {0, rows_[i].first}, round);
    for_each_run(param, {rows_[i].last, param.spec.rows}, round);
  }
}

UpdateShare::WholeState UpdateShare::gather_state(std::vector<NamedTensor> held) {
  WholeState whole{std::move(held), {}};
  // What goes to another process goes first, so that none waits for what it has to send.
  Buffer<Request> sends;
  for (Cut& cut : cuts_) {
    if (cut.chain.is_first()) continue;
    for (NamedTensor& state : whole.tensors) {
      if (!is_state_of(state, params_[cut.param])) continue;
      if (!state.is_whole())
        start_sends(comm_, state.data, cut.chain.owners().front(),
                    static_cast<int>(cut.param % tags), sends);
      state.data = {};
    }
  }
  for (Cut& cut : cuts_) {
    if (!cut.chain.is_first()) continue;
    for (NamedTensor& state : whole.tensors)
      if (is_state_of(state, params_[cut.param]) && !state.is_whole())
        gather_cut(cut, state, whole);
  }
  wait_for_all(sends);
  return whole;
}

// Receives the rest of one state tensor from the other owners of its rows.
void UpdateShare::gather_cut(Cut& cut, NamedTensor& state, WholeState& whole) {
  const std::int64_t of_row = state.rows * state.cols / params_[cut.param].spec.rows;
  whole.rooms.push_back(Tensor<float>::uninitialized(state.rows, state.cols));
  const std::span<float> room = whole.rooms.back().flat();
  std::ranges::copy(state.data, room.begin());
  Buffer<Request> receives;
  for (const Rank owner : cut.chain.owners().subspan(1)) {
    const RowRange rows = ownership_.rows(cut.param, owner);
    start_receives(comm_,
                   room.subspan(static_cast<std::size_t>(rows.first * of_row),
                                static_cast<std::size_t>(rows.size() * of_row)),
                   owner, static_cast<int>(cut.param % tags), receives);
  }
  wait_for_all(receives);
  state.data = room;
}

RowRange updated_rows(const UpdateShare* share, std::span<const Param> params, std::size_t i) {
  return share ? share->rows(i) : RowRange{0, params[i].spec.rows};
}

}  // namespace switchyard
