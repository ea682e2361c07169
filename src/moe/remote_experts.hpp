// Sends rows to their experts, wherever these are, and their outputs back: count exchange,
// dispatch, experts, return; and the backward pass. In is the precision of the rows sent between
// processes and of the experts' matrix products. It knows dispatch plans, not what the rows
// represent or how the outputs are used.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.hpp"
#include "moe/experts.hpp"
#include "moe/row_exchange.hpp"
#include "step/step_context.hpp"
#include "tensor/param.hpp"

namespace switchyard {

template <class In>
struct RemoteExpertsSaved {
  DispatchPlan plan;
  RowExchange exchange;
  Buffer<std::uint64_t> expert_row_index;  // [owned rows]; only used with dropout on hidden units
  ExpertsSaved<In> experts;
  Tensor<In> output;  // [kept rows, D] in send order, at the source

  // Frees everything that `compute` can recompute.
  void keep_decisions() { experts = {}, output = {}; }
};

class RemoteExperts {
 public:
  // `experts`: the owned experts in order; may be empty. `layer`: the layer's number, counted
  // through both stacks, which keys random draws.
  RemoteExperts(Activation activation, float hidden_dropout_rate, std::uint32_t layer,
                std::vector<ExpertParams> experts)
      : activation_(activation),
        hidden_dropout_rate_(hidden_dropout_rate),
        layer_(layer),
        experts_(std::move(experts)) {}

  // Exchanges the row counts of the plan. row_index: a number for each row that the plan may send,
  // which keys the masks of hidden dropout; a row has the same mask in every expert that computes
  // it. Collective over context.comm.
  template <class In>
  RemoteExpertsSaved<In> announce(StepContext& context, DispatchPlan plan,
                                  std::span<const std::uint64_t> row_index) const;
  // packed [kept rows, D] in send order -> saved.output. May be called repeatedly. Collective over
  // context.comm.
  template <class In>
  void compute(StepContext& context, const ParamSet& params, Tensor<In> packed,
               RemoteExpertsSaved<In>& saved) const;
  // d_output [kept rows, D] -> d_packed [kept rows, D]; adds to the owned experts' gradient leaves.
  // Collective over context.comm.
  template <class In>
  Tensor<In> backward(StepContext& context, ParamSet& params, const RemoteExpertsSaved<In>& saved,
                      Tensor<In> d_output) const;

 private:
  bool drops_hidden(Mode mode) const { return hidden_dropout_rate_ > 0 && mode == Mode::train; }
  OwnedExperts owned(const StepContext& context,
                     std::span<const std::uint64_t> expert_row_index) const;

  Activation activation_;
  float hidden_dropout_rate_;
  std::uint32_t layer_;
  std::vector<ExpertParams> experts_;
};

}  // namespace switchyard
