#include "moe/remote_experts.hpp"

#include <functional>
#include <utility>

#include "moe/row_stream.hpp"

namespace switchyard {
namespace {

// While it lives, products of matrices let the rows on their way move on; other messages too, as
// before.
template <class In>
class AdvancedByProducts {
 public:
  AdvancedByProducts(Work& work, const RowExchange& exchange, ArrivingRows<In>& arriving,
                     LeavingRows<In>& leaving)
      : work_(work), arriving_(arriving), leaving_(leaving), before_(work.between_products) {
    if (exchange.chunks() > 1) work.between_products = [this] { advance(); };
  }
  ~AdvancedByProducts() { work_.between_products = std::move(before_); }
  AdvancedByProducts(const AdvancedByProducts&) = delete;
  AdvancedByProducts& operator=(const AdvancedByProducts&) = delete;

 private:
  void advance() {
    if (before_) before_();
    arriving_.advance();
    leaving_.advance();
  }

  Work& work_;
  ArrivingRows<In>& arriving_;
  LeavingRows<In>& leaving_;
  std::function<void()> before_;
};

}  // namespace

template <class In>
RemoteExpertsSaved<In> RemoteExperts::announce(StepContext& context, DispatchPlan plan,
                                               std::span<const std::uint64_t> row_index) const {
  RemoteExpertsSaved<In> saved;
  saved.plan = std::move(plan);
  saved.exchange = RowExchange(context, saved.plan, layer_);
  if (drops_hidden(context.mode))
    saved.expert_row_index = saved.exchange.indices_to_experts(context, saved.plan, row_index);
  return saved;
}

template <class In>
void RemoteExperts::compute(StepContext& context, const ParamSet& params, Tensor<In> packed,
                            RemoteExpertsSaved<In>& saved) const {
  const RowExchange& exchange = saved.exchange;
  const OwnedExperts experts = owned(context, saved.expert_row_index);
  ArrivingRows<In> arriving(context, exchange, std::move(packed), Pass::forward);
  LeavingRows<In> leaving(context, exchange, Pass::forward);
  const AdvancedByProducts<In> advanced(context.work, exchange, arriving, leaving);
  for (std::int64_t chunk = 0; chunk < exchange.chunks(); ++chunk) {
    arriving.receive();
    leaving.send([&] {
      const ScopedPhase phase(context.timer, Phase::experts);
      if (chunk == 0)
        saved.experts.hidden = hidden_room<In>(params, experts, exchange.owned_rows());
      return experts_forward(context.work, params, experts, exchange.batches(chunk),
                             arriving.rows(), saved.experts.hidden);
    }());
  }
  saved.experts.x = arriving.take();
  saved.output = leaving.finish();
}

template <class In>
Tensor<In> RemoteExperts::backward(StepContext& context, ParamSet& params,
                                   const RemoteExpertsSaved<In>& saved, Tensor<In> d_output) const {
  const RowExchange& exchange = saved.exchange;
  const OwnedExperts experts = owned(context, saved.expert_row_index);
  ArrivingRows<In> arriving(context, exchange, std::move(d_output), Pass::backward);
  LeavingRows<In> leaving(context, exchange, Pass::backward);
  const AdvancedByProducts<In> advanced(context.work, exchange, arriving, leaving);
  for (std::int64_t chunk = 0; chunk < exchange.chunks(); ++chunk) {
    arriving.receive();
    leaving.send([&] {
      const ScopedPhase phase(context.timer, Phase::experts);
      return experts_backward(context.work, params, experts, exchange.batches(chunk), saved.experts,
                              arriving.rows());
    }());
  }
  return leaving.finish();
}

OwnedExperts RemoteExperts::owned(const StepContext& context,
                                  std::span<const std::uint64_t> expert_row_index) const {
  const Rank self = context.comm.rank();
  const HiddenDropout dropout{
      drops_hidden(context.mode) ? hidden_dropout_rate_ : 0.0f,
      RandomStream(context.seed, Purpose::hidden_dropout, layer_, context.step), expert_row_index};
  return {experts_, context.layout.owned_experts(self).first, context.layout.groups_of(self).first,
          activation_, dropout};
}

#define SWITCHYARD_INSTANTIATE(In)                                                               \
  template RemoteExpertsSaved<In> RemoteExperts::announce(StepContext&, DispatchPlan,            \
                                                          std::span<const std::uint64_t>) const; \
  template void RemoteExperts::compute(StepContext&, const ParamSet&, Tensor<In>,                \
                                       RemoteExpertsSaved<In>&) const;                           \
  template Tensor<In> RemoteExperts::backward(StepContext&, ParamSet&,                           \
                                              const RemoteExpertsSaved<In>&, Tensor<In>) const;

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
