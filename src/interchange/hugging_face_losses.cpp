#include "interchange/hugging_face_losses.hpp"

#include <array>
#include <charconv>

#include "interchange/hugging_face_stacks.hpp"

namespace switchyard {
namespace {

std::string digits(double number, int count) {
  std::array<char, 40> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number,
                                 std::chars_format::general, count);
  return {text.data(), end.ptr};
}

// Rounds to 15 digits, so that dividing and multiplying again gives the original number.
double rounded(double number) {
  const std::string text = digits(number, 15);
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

double our_loss_coefficient(double theirs, const RunConfig& config) {
  const SparseLayers layers = sparse_layers_of(config);
  if (layers.all() == 0) return theirs;
  const double all = theirs * layers.stacks();
  const bool mean = config.moe().aux_loss_reduction() == MoeOptions::MEAN;
  return mean ? all : all / layers.all();
}

double their_loss_coefficient(double ours, const RunConfig& config) {
  const SparseLayers layers = sparse_layers_of(config);
  if (layers.all() == 0) return ours;
  const bool mean = config.moe().aux_loss_reduction() == MoeOptions::MEAN;
  return rounded((mean ? ours : ours * layers.all()) / layers.stacks());
}

LossNotes loss_notes(const RunConfig& config) {
  const MoeOptions& moe = config.moe();
  const SparseLayers layers = sparse_layers_of(config);
  if (layers.all() == layers.stacks()) return {};
  const auto one = [&](const char* there, const char* here, double value) {
    return std::string(there) + " " + digits(their_loss_coefficient(value, config), 6) +
           " became moe." + here + " " + digits(value, 6);
  };
  if (moe.aux_loss_coef() == 0 && moe.z_loss_coef() == 0) return {};
  const std::string z = one("router_z_loss_coef", "z_loss_coef", moe.z_loss_coef());
  const std::string aux = one("router_aux_loss_coef", "aux_loss_coef", moe.aux_loss_coef());
  LossNotes notes;
  notes.conversion = z + " and " + aux +
                     ": there they weigh the mean over a stack's sparse layers, here each layer; "
                     "for the balancing loss the two are only near each other, since a stack's "
                     "layers are joined there before the product";
  if (layers.encoder != layers.decoder && layers.stacks() == 2)
    notes.unequal_stacks =
        "the encoder has another number of sparse layers (" + std::to_string(layers.encoder) +
        ") than the decoder (" + std::to_string(layers.decoder) +
        "): one coefficient for all layers keeps the sum of their weights, not each stack's";
  return notes;
}

}  // namespace switchyard
