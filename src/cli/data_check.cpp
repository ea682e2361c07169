#include "cli/data_check.hpp"

#include <algorithm>
#include <functional>

#include "base/host.hpp"
#include "comm/together.hpp"
#include "report/numbers.hpp"

namespace switchyard {

DataCheck::DataCheck(const Comm& world, const Env& env, const RunPaths& run,
                     std::span<const Dataset* const> data, DataOptions::Verify mode, Log& log) {
  if (mode == DataOptions::NEVER) return;
  for (const Dataset* each : data) {
    std::set<std::string> remembered;
    if (mode == DataOptions::ONCE) {
      remembered = read_stamp(env, each->directory(), host_name());
      remembered.merge(read_stamp(env, run.run, host_name()));
    }
    take(env, *each, remembered);
  }
  std::ranges::stable_sort(files_, std::ranges::greater{}, &File::bytes);
  std::int64_t bytes = 0;
  for (const File& file : files_) bytes += file.is_remembered ? 0 : file.bytes;
  if (const std::string text = reading_text(bytes); !text.empty()) log.info(text);

  const bool first = share_per_view(world, view(), static_cast<int>(files_.size()), [&](int piece) {
    const File& file = files_[static_cast<std::size_t>(piece)];
    if (!file.is_remembered) require_digest(env, file.expected);
  });
  remembers_ = first && mode == DataOptions::ONCE;
}

void DataCheck::take(const Env& env, const Dataset& data, const std::set<std::string>& remembered) {
  Directory& directory = directories_.emplace_back(Directory{.path = data.directory()});
  directory.is_remembered = true;
  for (const ExpectedFile& file : data.files()) {
    // The version of the file before it is read: if it changes meanwhile, the entry is of no use.
    const std::string entry = verified_entry(env, file);
    const bool known = remembered.contains(entry);
    directory.entries.insert(entry);
    directory.is_remembered &= known;
    files_.push_back({file, env.file_size(file.path), known});
  }
}

// Equal for the processes of a host that see the same files.
std::string DataCheck::view() const {
  std::string view;
  for (const Directory& directory : directories_)
    for (const std::string& entry : directory.entries) view += entry + "\n";
  return view;
}

void DataCheck::remember(Env& env, const RunPaths& run) const {
  if (!remembers_) return;
  bool all_beside_the_data = true;
  std::set<std::string> entries;
  for (const Directory& directory : directories_) {
    entries.insert(directory.entries.begin(), directory.entries.end());
    if (!directory.is_remembered &&
        !write_stamp(env, directory.path, host_name(), directory.entries))
      all_beside_the_data = false;
  }
  if (!all_beside_the_data) write_stamp(env, run.run, host_name(), entries);
}

std::string reading_text(std::int64_t bytes) {
  constexpr std::int64_t gigabyte = 1'000'000'000;  // read in a few seconds
  if (bytes < gigabyte) return "";
  return "reads " + grouped(bytes / gigabyte) +
         " GB of data to verify them before the first step (data.verify)";
}

}  // namespace switchyard
