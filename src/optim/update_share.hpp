// This process's share of the update where the dense tensors' rows are shared out over the
// processes (comm/ownership.hpp): which rows it updates, sums over tensors that other processes
// update too, and how all get all weights afterwards. It knows no update rule.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "comm/comm.hpp"
#include "comm/owner_chain.hpp"
#include "comm/ownership.hpp"
#include "tensor/named_tensor.hpp"
#include "tensor/param.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

class UpdateShare {
 public:
  // Of the dense tensors of `params`, which must outlive it, at the same address. Collective over
  // comm.
  UpdateShare(const Comm& comm, ParamSet& params);
  UpdateShare(const UpdateShare&) = delete;
  UpdateShare& operator=(const UpdateShare&) = delete;

  // The rows of params()[i] that this process updates: of an expert's tensor, all.
  RowRange rows(std::size_t i) const { return rows_[i]; }

  // A tensor of which this process updates some rows and others the rest.
  struct Cut {
    std::size_t param;  // its index in params()
    OwnerChain chain;
  };
  // At most two: the one whose first rows are here comes first. Chains must be opened and closed in
  // this order, and their results asked for in the opposite one.
  std::span<Cut> cuts() { return cuts_; }

  // After each process has updated its rows: all values of all dense tensors, and their bf16
  // copies, on every process. Collective.
  void gather_values();

  // State tensors for a checkpoint, in which a tensor must be whole on the process that writes it.
  struct WholeState {
    std::vector<NamedTensor> tensors;
    std::vector<Tensor<float>> rooms;  // the data of those that were gathered
  };
  // held: the optimizer's state(). The first owner of a cut tensor gets its state from the others,
  // which then have none of it. Collective.
  WholeState gather_state(std::vector<NamedTensor> held);

 private:
  void gather_cut(Cut& cut, NamedTensor& state, WholeState& whole);

  Comm comm_;
  ParamSet& params_;
  Ownership ownership_;
  std::vector<RowRange> rows_;
  std::vector<Cut> cuts_;
};

// The rows of params[i] that are updated here; all of them where the update is not shared out.
RowRange updated_rows(const UpdateShare* share, std::span<const Param> params, std::size_t i);

}  // namespace switchyard
