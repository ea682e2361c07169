// Rows to their experts, wherever these are, and the answers back: exchange, dispatch, experts,
// return; then the backward pass. In: the precision of the rows that travel and of the experts'
// products. Knows plans, not what the rows are made of nor what becomes of the answers.
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
  Buffer<std::uint64_t> expert_row_index;  // [owned rows]; only with hidden dropout
  ExpertsSaved<In> experts;
  Tensor<In> output;  // [kept rows, D] in send order, at the source

  // Frees what `compute` makes again.
  void keep_decisions() { experts = {}, output = {}; }
};

class RemoteExperts {
 public:
  // `experts`: the owned ones, in order; may be empty. `layer`: its number through both stacks,
  // which keys random draws.
  RemoteExperts(Activation activation, float hidden_dropout_rate, std::uint32_t layer,
                std::vector<ExpertParams> experts)
      : activation_(activation),
        hidden_dropout_rate_(hidden_dropout_rate),
        layer_(layer),
        experts_(std::move(experts)) {}

  // Announces the plan's rows. row_index, of every row that the plan may send: keys the masks of
  // hidden dropout, one for a row whichever of its experts computes it. Collective over
  // context.comm.
  template <class In>
  RemoteExpertsSaved<In> announce(StepContext& context, DispatchPlan plan,
                                  std::span<const std::uint64_t> row_index) const;
  // packed [kept rows, D] in send order -> saved.output. May be repeated. Collective.
  template <class In>
  void compute(StepContext& context, const ParamSet& params, Tensor<In> packed,
               RemoteExpertsSaved<In>& saved) const;
  // d_output [kept rows, D] -> d_packed likewise; adds to the owned experts' gradient leaves.
  // Collective.
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
