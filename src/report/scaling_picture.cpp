#include "report/scaling_picture.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "report/numbers.hpp"

namespace switchyard {
namespace {

constexpr double width = 640, height = 420, left = 70, right = 20, above = 64, below = 76;

struct Point {
  double processes = 0, rate = 0;
  bool weak = false;
};

// Logarithmic axes.
struct Axes {
  double most_processes = 1, least_rate = 1, most_rate = 1;

  double x(double processes) const {
    return left +
           (width - left - right) * std::log(processes) / std::log(std::max(most_processes, 2.0));
  }
  double y(double rate) const {
    const double share = std::log(rate / least_rate) / std::log(most_rate / least_rate);
    return height - below - (height - above - below) * share;
  }
};

std::string escaped_for_xml(const std::string& text) {
  std::string result;
  for (const char c : text)
    result += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  return result;
}

std::string text(double x, double y, const std::string& words, const char* anchor, int size = 13) {
  return formatted("<text x='%.1f' y='%.1f' text-anchor='%s' font-size='%d' fill='#333333'>", x, y,
                   anchor, size) +
         escaped_for_xml(words) + "</text>\n";
}

void draw_grid(std::ostream& out, const Axes& axes) {
  for (double p = 1; p <= axes.most_processes; p *= 4) {
    out << formatted("<path d='M%.1f %.1fV%.1f' stroke='#d8d8d8'/>\n", axes.x(p), above,
                     height - below)
        << text(axes.x(p), height - below + 18, grouped(std::llround(p)), "middle", 11);
  }
  for (double rate = axes.least_rate; rate <= axes.most_rate * 1.001; rate *= 10) {
    out << formatted("<path d='M%.1f %.1fH%.1f' stroke='#d8d8d8'/>\n", left, axes.y(rate),
                     width - right)
        << text(left - 6, axes.y(rate) + 4, formatted("%.0e", rate), "end", 11);
  }
  out << formatted("<path d='M%.1f %.1fV%.1fH%.1f' stroke='#333333' fill='none'/>\n", left, above,
                   height - below, width - right)
      << text((left + width - right) / 2, height - below + 38, "processes", "middle")
      << formatted(
             "<text transform='translate(14 %.1f) rotate(-90)' text-anchor='middle' "
             "font-size='13' fill='#333333'>tokens per second</text>\n",
             (above + height - below) / 2);
}

void draw_curve(std::ostream& out, const Axes& axes, const std::vector<Point>& points,
                const char* colour, const char* dashes, bool markers) {
  std::string path;
  for (const Point& p : points) {
    path += formatted("%s%.1f %.1f", path.empty() ? "M" : "L", axes.x(p.processes), axes.y(p.rate));
    if (markers)
      out << formatted("<circle cx='%.1f' cy='%.1f' r='3.5' fill='%s'/>\n", axes.x(p.processes),
                       axes.y(p.rate), colour);
  }
  out << "<path d='" << path << "' fill='none' stroke='" << colour << "' stroke-width='2' "
      << "stroke-dasharray='" << dashes << "'/>\n";
}

void draw_key(std::ostream& out, double x, const char* colour, const char* dashes,
              const std::string& words) {
  out << formatted("<path d='M%.1f %.1fh28' stroke='%s' stroke-width='2' stroke-dasharray='%s'/>\n",
                   x, height - 18, colour, dashes)
      << text(x + 34, height - 14, words, "start", 12);
}

// Colours of text, grid, paper and curves where the reader's background is dark.
constexpr char dark[] =
    "<style>@media (prefers-color-scheme: dark) { [fill='#333333'] { fill: #dddddd } "
    "[stroke='#333333'] { stroke: #dddddd } [stroke='#d8d8d8'] { stroke: #444a52 } "
    "[fill='#ffffff'] { fill: #16191d } [stroke='#0072B2'] { stroke: #3590d0 } "
    "[fill='#0072B2'] { fill: #3590d0 } [stroke='#808080'] { stroke: #a0a0a0 } }</style>\n";

}  // namespace

std::string scaling_picture(const std::vector<ScalingRow>& rows, double tokens_of_row,
                            const std::string& heading, const std::string& details) {
  std::vector<Point> strong, weak, ideal;
  Axes axes{1, 1e300, 0};
  for (const ScalingRow& row : rows) {
    if (!row.time) continue;
    const auto processes = static_cast<double>(row.processes);
    const Point point{processes, static_cast<double>(row.rows) * tokens_of_row / row.time->total(),
                      row.weak};
    const double first =
        ideal.empty() ? point.rate / processes : ideal[0].rate / ideal[0].processes;
    ideal.push_back({processes, first * processes});
    if (point.weak && weak.empty() && !strong.empty()) weak.push_back(strong.back());
    (point.weak ? weak : strong).push_back(point);
    axes.most_processes = std::max(axes.most_processes, processes);
    for (const double rate : {point.rate, ideal.back().rate}) {
      axes.least_rate = std::min(axes.least_rate, rate);
      axes.most_rate = std::max(axes.most_rate, rate);
    }
  }
  axes.least_rate = std::pow(10, std::floor(std::log10(axes.least_rate)));
  axes.most_rate = std::pow(10, std::ceil(std::log10(axes.most_rate * 1.01)));
  std::ostringstream out;
  out << formatted(
             "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %.0f %.0f' width='%.0f' "
             "height='%.0f' font-family='DejaVu Sans, sans-serif'>\n",
             width, height, width, height)
      << "<title>" << escaped_for_xml(heading) << "</title>\n<desc>"
      << escaped_for_xml(heading + ". " + details) << ".</desc>\n"
      << dark << formatted("<rect width='%.0f' height='%.0f' fill='#ffffff'/>\n", width, height)
      << text(12, 22, heading, "start", 14) << text(12, 42, details, "start", 11);
  draw_grid(out, axes);
  draw_curve(out, axes, ideal, "#808080", "4,4", false);
  draw_curve(out, axes, weak, "#D55E00", "16,5", true);
  draw_curve(out, axes, strong, "#0072B2", "none", true);
  draw_key(out, left, "#0072B2", "none", "the same batch");
  draw_key(out, left + 170, "#D55E00", "16,5", "one virtual rank each");
  draw_key(out, left + 380, "#808080", "4,4", "as much as alone");
  out << "</svg>\n";
  return out.str();
}

}  // namespace switchyard
