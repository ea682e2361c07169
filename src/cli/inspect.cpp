// `switchyard inspect`: the contents of a checkpoint, whether it is undamaged, and hashes for
// comparison.
#include <iomanip>
#include <iostream>
#include <sstream>
#include <vector>

#include "checkpoint/digest.hpp"
#include "checkpoint/store.hpp"
#include "cli/arguments.hpp"
#include "cli/command.hpp"

namespace switchyard {
namespace {

std::string hashes_text(const CheckpointReader& checkpoint) {
  std::ostringstream out;
  const std::vector<TensorDigest> digests = digest_checkpoint(checkpoint);
  for (const TensorDigest& digest : digests) out << digest.sha256 << "  " << digest.name << "\n";
  out << overall_digest(digests) << "  all\n";
  return out.str();
}

std::string or_none(const std::string& digest) { return digest.empty() ? "none" : digest; }

std::string summary_text(const CheckpointReader& checkpoint) {
  const CheckpointSummary summary = summarize_checkpoint(checkpoint);
  const BuildInfo& build = summary.state.build;
  std::ostringstream out;
  out << "checkpoint  " << checkpoint.directory() << "\n"
      << "step        " << summary.state.step << ", " << summary.state.samples
      << " samples consumed\n"
      << "written by  switchyard " << build.version << " (" << build.commit << ", "
      << build.build_type << "), oneDNN " << build.onednn_version << " on " << build.isa << ", "
      << build.mpi << "\n"
      << "layout      " << summary.processes << " processes, " << summary.virtual_ranks
      << " virtual ranks, " << summary.experts << " experts, " << summary.groups << " replicas\n"
      << "tokenizer   " << or_none(summary.state.tokenizer_digest) << "\n"
      << "data        " << or_none(summary.state.data_digest) << "\n"
      << "tensors     " << summary.tensors.size() << " in " << summary.files << " files, "
      << summary.bytes << " bytes\n\n";
  for (const TensorSummary& tensor : summary.tensors) {
    const std::string shape =
        '[' + std::to_string(tensor.rows) + ", " + std::to_string(tensor.cols) + ']';
    out << std::setw(16) << shape << std::setw(14) << tensor.bytes << "  " << tensor.name;
    if (tensor.expert) out << "  (expert " << tensor.expert->value << ")";
    out << "\n";
  }
  out << "\nverified\n";
  return out.str();
}

ExitCode run_inspect(const Comm& world, std::span<const std::string> arguments) {
  namespace po = boost::program_options;
  po::options_description known;
  known.add_options()("checkpoint", po::value<std::string>()->required())("hash",
                                                                          po::bool_switch());
  po::positional_options_description positional;
  positional.add("checkpoint", 1);
  const auto values = parse_arguments(inspect_command, arguments, known, positional);
  const PosixEnv env;
  Log log(&std::cerr);
  const CheckpointReader checkpoint =
      open_checkpoint(env, world, values["checkpoint"].as<std::string>(), log);
  std::cout << (values["hash"].as<bool>() ? hashes_text(checkpoint) : summary_text(checkpoint));
  return ExitCode::done;
}

}  // namespace

const Command inspect_command = {"inspect", "lists, hashes and verifies a checkpoint",
                                 R"help(usage: switchyard inspect CHECKPOINT|RUN [--hash]

Reads and verifies every byte of a checkpoint (for a run, its newest valid one) and prints its
contents. With --hash: the SHA-256 of each tensor, then of all; equal for any number of processes.

example: switchyard inspect runs/tiny --hash
)help",
                                 run_inspect, Processes::one};

}  // namespace switchyard
