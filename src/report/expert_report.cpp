#include "report/expert_report.hpp"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "report/numbers.hpp"
#include "report/start_report.hpp"

namespace switchyard {
namespace {

// The tokens of one piece from the view of one expert.
struct PieceCount {
  std::int32_t piece = 0;
  std::int64_t tokens = 0;    // that chose this expert
  std::int64_t in_layer = 0;  // that chose any expert

  double share() const { return static_cast<double>(tokens) / static_cast<double>(in_layer); }
};

struct ExpertPieces {
  std::int64_t tokens = 0;
  std::vector<PieceCount> pieces;  // in order of id
};

struct LayerPieces {
  std::int64_t tokens = 0;
  std::vector<ExpertPieces> experts;  // [E]

  double load(const ExpertPieces& expert) const {
    return static_cast<double>(expert.tokens) /
           static_cast<double>(std::max<std::int64_t>(tokens, 1));
  }
  // The piece's tokens in excess of what the expert's load predicts, multiplied by the number of
  // tokens in the layer so that it is an integer.
  std::int64_t surplus(const ExpertPieces& expert, const PieceCount& count) const {
    return count.tokens * tokens - expert.tokens * count.in_layer;
  }
};

LayerPieces by_expert(const ExpertLayer& layer, int experts) {
  std::map<std::int32_t, std::int64_t> in_layer;
  for (const auto& [key, tokens] : layer.tokens) in_layer[key.piece] += tokens;
  LayerPieces result;
  result.experts.resize(static_cast<std::size_t>(experts));
  for (const auto& [key, tokens] : layer.tokens) {
    ExpertPieces& expert = result.experts[static_cast<std::size_t>(key.expert)];
    expert.pieces.push_back({key.piece, tokens, in_layer[key.piece]});
    expert.tokens += tokens;
    result.tokens += tokens;
  }
  return result;
}

// Orders by decreasing `value`, ties by increasing id.
template <class Value>
std::vector<PieceCount> ranked(std::vector<PieceCount> pieces, const Value& value) {
  std::ranges::stable_sort(pieces, std::greater(), value);
  return pieces;
}

// Escapes a piece so that it is a single field on a single line.
std::string escaped(const std::string& piece) {
  std::ostringstream text;
  for (const char c : piece) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\t') {
      text << "\\t";
    } else if (c == '\n') {
      text << "\\n";
    } else if (c == '\r') {
      text << "\\r";
    } else if (c == '\\') {
      text << "\\\\";
    } else if (byte < 0x20 || byte == 0x7f) {
      text << "\\x" << std::hex << std::setw(2) << std::setfill('0') << int{byte};
    } else {
      text << c;
    }
  }
  return text.str();
}

constexpr std::size_t shown_experts = 16, shown_pieces = 5;

void summarize_expert(std::ostream& out, const LayerPieces& layer, std::size_t e,
                      const PieceText& text) {
  const ExpertPieces& expert = layer.experts[e];
  const auto surplus = [&](const PieceCount& count) { return layer.surplus(expert, count); };
  out << std::setw(8) << e << std::setprecision(1) << std::setw(7) << 100 * layer.load(expert)
      << "%" << std::setprecision(0);
  const std::vector<PieceCount> pieces = ranked(expert.pieces, surplus);
  for (std::size_t i = 0; i < std::min(pieces.size(), shown_pieces); ++i) {
    if (surplus(pieces[i]) <= 0) break;
    out << "  " << escaped(text(pieces[i].piece)) << " " << 100 * pieces[i].share() << "%";
  }
  out << "\n";
}

}  // namespace

std::string expert_tsv(const ExpertTable& table, const PieceText& text) {
  std::ostringstream out;
  out << "layer\texpert\tpiece\tid\tcount\tshare\n" << std::fixed << std::setprecision(4);
  for (const ExpertLayer& layer : table.layers) {
    const LayerPieces pieces = by_expert(layer, table.num_experts);
    for (std::size_t e = 0; e < pieces.experts.size(); ++e) {
      for (const PieceCount& count : ranked(pieces.experts[e].pieces, &PieceCount::tokens)) {
        out << layer.name << '\t' << e << '\t' << escaped(text(count.piece)) << '\t' << count.piece
            << '\t' << count.tokens << '\t' << count.share() << '\n';
      }
    }
  }
  return out.str();
}

std::string expert_summary(const ExpertTable& table, const PieceText& text) {
  std::ostringstream out;
  out << std::fixed;
  for (const ExpertLayer& layer : table.layers) {
    const LayerPieces pieces = by_expert(layer, table.num_experts);
    out << "\n" << layer.name << ", " << grouped(pieces.tokens) << " tokens\n";
    out << "  expert    load  typical pieces, and how much of each it takes\n";
    const std::size_t shown = std::min(pieces.experts.size(), shown_experts);
    for (std::size_t e = 0; e < shown; ++e) summarize_expert(out, pieces, e, text);
    if (shown < pieces.experts.size())
      out << "  and " << pieces.experts.size() - shown << " experts more\n";
  }
  return out.str();
}

}  // namespace switchyard
