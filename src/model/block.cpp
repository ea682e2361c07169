#include "model/block.hpp"

namespace switchyard {

template <class In>
Tensor<float> Block::attend(StepContext& context, const ParamSet& params, const Sequence& sequence,
                            const PositionBias& bias, const EncoderOutput<In>* memory,
                            Tensor<float> h, BlockSaved<In>& saved) const {
  h = self_.residual.forward(context, params, sequence, std::move(h), saved.self_residual,
                             [&](View<const In> x, View<float> y) {
                               const AttentionInput<In> input{sequence, x, sequence, x};
                               saved.self_attention =
                                   self_.layer.forward(context, params, input, &bias, y);
                             });
  if (cross_) {
    h = cross_->residual.forward(
        context, params, sequence, std::move(h), saved.cross_residual,
        [&](View<const In> x, View<float> y) {
          const AttentionInput<In> input{sequence, x, memory->sequence, memory->output};
          saved.cross_attention = cross_->layer.forward(context, params, input, nullptr, y);
        });
  }
  return h;
}

template <class In>
Tensor<float> Block::forward(StepContext& context, const ParamSet& params, const Sequence& sequence,
                             const PositionBias& bias, const EncoderOutput<In>* memory,
                             Tensor<float> h, BlockSaved<In>& saved) const {
  h = attend(context, params, sequence, bias, memory, std::move(h), saved);
  return feed_.residual.forward(context, params, sequence, std::move(h),
                                saved.feed_forward_residual, [&](View<const In> x, View<float> y) {
                                  saved.feed_forward =
                                      feed_.layer.forward(context, params, sequence, x, y);
                                });
}

template <class In>
void Block::repeat(StepContext& context, const ParamSet& params, const Sequence& sequence,
                   const PositionBias& bias, const EncoderOutput<In>* memory,
                   BlockSaved<In>& saved) const {
  Tensor<float> h =
      attend(context, params, sequence, bias, memory, std::move(saved.self_residual.h), saved);
  feed_.residual.forward(context, params, sequence, std::move(h), saved.feed_forward_residual,
                         [&](View<const In> x, View<float> y) {
                           feed_.layer.repeat(context, params, sequence, x, y, saved.feed_forward);
                         });
}

template <class In>
void Block::backward(StepContext& context, ParamSet& params, const Backward<In>& around,
                     const BlockSaved<In>& saved, View<float> dh) const {
  const Sequence& sequence = around.sequence;
  feed_.residual.backward(context, params, sequence, saved.feed_forward_residual, dh,
                          [&](View<const float> dy, View<float> dx) {
                            feed_.layer.backward(context, params, sequence, saved.feed_forward,
                                                 saved.feed_forward_residual.x.view(), dy, dx);
                          });
  if (cross_) {
    const AttentionInput<In> input{sequence, saved.cross_residual.x.view(), around.memory->sequence,
                                   around.memory->output};
    cross_->residual.backward(context, params, sequence, saved.cross_residual, dh,
                              [&](View<const float> dy, View<float> dx) {
                                cross_->layer.backward(context, params, input,
                                                       saved.cross_attention, nullptr,
                                                       {dy, dx, around.d_memory});
                              });
  }
  const View<const In> x = saved.self_residual.x.view();
  const AttentionInput<In> input{sequence, x, sequence, x};
  self_.residual.backward(context, params, sequence, saved.self_residual, dh,
                          [&](View<const float> dy, View<float> dx) {
                            const Tensor<float> d_bias =
                                self_.layer.backward(context, params, input, saved.self_attention,
                                                     &around.bias, {dy, dx, dx});
                            around.relative.backward(params, sequence, d_bias.view());
                          });
}

#define SWITCHYARD_INSTANTIATE(In)                                                                 \
  template Tensor<float> Block::forward(StepContext&, const ParamSet&, const Sequence&,            \
                                        const PositionBias&, const EncoderOutput<In>*,             \
                                        Tensor<float>, BlockSaved<In>&) const;                     \
  template void Block::repeat(StepContext&, const ParamSet&, const Sequence&, const PositionBias&, \
                              const EncoderOutput<In>*, BlockSaved<In>&) const;                    \
  template void Block::backward(StepContext&, ParamSet&, const Backward<In>&,                      \
                                const BlockSaved<In>&, View<float>) const;

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
