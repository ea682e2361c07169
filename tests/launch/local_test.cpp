// local.sh as a user runs it: the cores of its processes, what it makes of mpirun's messages and
// exit codes, how it stops, and what it does without a reader, a home or a temporary directory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "support/program.hpp"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::string frame = std::string(74, '-') + "\n";
const std::string own_cores =
    "sh -c 'taskset -cp $$'";  // prints "pid 7's current affinity list: 0"

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

// Prints those of these processes that are still there. One that nobody has waited for has no
// words.
std::string living(const std::string& processes) {
  return "for p in " + processes +
         "; do [ -z \"$(tr -d '\\0' </proc/$p/cmdline 2>/dev/null)\" ] || " +
         "echo $p is still there; done";
}

// MPICH's mpirun oversubscribes and binds nothing by default, and copies as it was built to,
// without options.
bool has_mpich() { return run_shell("mpirun --version").output.find("HYDRA") != std::string::npos; }

bool works(const std::string& command) { return run_shell(command).exit_code == 0; }

// Uses its own core locks, so that other jobs on this machine do not matter.
class LocalScript : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return directory_.path() + "/" + name; }
  std::string command(const std::string& arguments, const std::string& before = "") const {
    return "SWITCHYARD_CORE_LOCKS=" + path("locks") + " " + before +
           " " LAUNCH_DIRECTORY "/local.sh " + arguments;
  }
  Outcome local(const std::string& arguments, const std::string& before = "") const {
    return run_shell(command(arguments, before));
  }

  // Runs local.sh with an mpirun that prints `said` on standard error and exits with this code.
  Outcome with_mpirun(const std::string& said, int exit_code, const std::string& arguments) const {
    fs::create_directories(path("bin"));
    write_text(path("said"), said);
    write_text(path("bin/mpirun"),
               "#!/bin/sh\ncat " + path("said") + " >&2\nexit " + std::to_string(exit_code) + "\n");
    fs::permissions(path("bin/mpirun"), fs::perms::owner_all);
    return local(arguments, "PATH=" + path("bin") + ":$PATH");
  }

 private:
  TemporaryDirectory directory_;
};

TEST_F(LocalScript, PrintsItsMpirunLineAndPassesTheExitCodeOn) {
  const Outcome outcome = local("-n 2 -t 1 /bin/sh -c 'exit 66'");
  EXPECT_EQ(outcome.exit_code, 66);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("mpirun -n 2"), HasSubstr("OMP_NUM_THREADS=1"),
                                    HasSubstr("/bin/sh -c 'exit 66'")));
}

TEST_F(LocalScript, WarnsOfMoreThreadsThanCoresAndRunsAllTheSame) {
  const Outcome outcome = local("-n 2 -t 999 /bin/true");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("take turns"),
                                    HasSubstr(has_mpich() ? "mpirun -n 2" : "--oversubscribe")));
}

TEST_F(LocalScript, CountsTheCoresWhateverOmpNumThreadsSays) {
  EXPECT_EQ(local("-n 2 -t 1 /bin/true", "OMP_NUM_THREADS=1 OMP_THREAD_LIMIT=1").output,
            local("-n 2 -t 1 /bin/true", "env -u OMP_NUM_THREADS").output);
}

TEST_F(LocalScript, RefusesWhatItDoesNotUnderstand) {
  for (const char* arguments : {"", "-n many train", "-n 2", "-x train", "--often train", "-n"})
    EXPECT_EQ(local(arguments).exit_code, 64) << arguments;
}

TEST_F(LocalScript, SaysThatThereIsNoSuchCommand) {
  for (const char* word : {"trian", "./trian", "/", "''", "--help-me"}) {
    const Outcome outcome = local(std::string("-n 2 -t 1 -- ") + word + " --config tiny");
    EXPECT_EQ(outcome.exit_code, 64) << word;
    EXPECT_THAT(outcome.output,
                AllOf(testing::StartsWith("local.sh: "), Not(HasSubstr("checkpoint"))));
  }
  EXPECT_THAT(local("trian").output, HasSubstr("there is no command 'trian'"));
}

TEST_F(LocalScript, StaysOnTheCoresOfItsShell) {
  const std::string last = std::to_string(allowed_cpus().back());
  const Outcome outcome = local("-n 1 -t 1 " + own_cores, "taskset -c " + last);
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, HasSubstr("affinity list: " + last + "\n"));
}

TEST_F(LocalScript, GivesEachJobCoresOfItsOwnAndSaysSoWhereThereAreTooFew) {
  const std::size_t cpus = allowed_cpus().size();
  const std::string all = std::to_string(cpus);
  if (cpus < 2) GTEST_SKIP() << "one core is no choice";
  run_shell("mkfifo " + path("go"));
  const Outcome outcome = run_shell(
      command("-n 1 -t 1 sh -c 'taskset -cp $$; echo held >&2; read line <" + path("go") + "'") +
      " >" + path("first") + " 2>&1 & until grep -qs ^held " + path("first") +
      "; do sleep 0.1; done; " + command("-n 1 -t 1 " + own_cores) + " 2>&1 | tee " +
      path("second") + "; " + command("-n " + all + " -t 1 true") + "; echo >" + path("go") +
      "; wait; " + command("-n " + all + " -t 1 true") + " 2>" + path("after"));
  const auto list = [&](const std::string& file) {
    const std::string text = read_text(path(file));
    const std::size_t at = text.find("affinity list: ");
    return at == text.npos ? text : text.substr(at, text.find('\n', at) - at);
  };
  EXPECT_NE(list("first"), list("second")) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("are free, another is held by process "));
  if (!has_mpich()) {
    EXPECT_THAT(outcome.output, HasSubstr("--bind-to none --mca mpi_yield_when_idle 1"));
  }
  EXPECT_THAT(read_text(path("after")), Not(HasSubstr("not bound"))) << "the core was given back";
}

TEST_F(LocalScript, GivesTheCoresOfAKilledJobBack) {
  const std::string all = std::to_string(allowed_cpus().size());
  const Outcome outcome = run_shell(
      command("-n " + all + " sh -c 'echo held >&2; sleep 60'") + " 2>" + path("first") +
      " & until grep -qs ^held " + path("first") + "; do sleep 0.1; done; kill -9 $!; wait $!; " +
      "for i in $(seq 30); do " + command("-n " + all + " true") + " 2>" + path("after") +
      "; grep -q 'not bound' " + path("after") + " || break; done");
  EXPECT_THAT(read_text(path("after")), Not(HasSubstr("not bound"))) << outcome.output;
}

// Most small virtual machines have two hardware threads of one core.
TEST_F(LocalScript, UsesHardwareThreadsWhereCoresDoNotSuffice) {
  if (allowed_cpus().size() < 2) GTEST_SKIP() << "one hardware thread is no choice";
  const std::string machine = "HWLOC_SYNTHETIC='pack:1 core:1 pu:2' HWLOC_THISSYSTEM=1";
  for (const char* layout : {"-n 2 -t 1 ", "-n 1 -t 2 "}) {
    const Outcome outcome = local(layout + own_cores, machine);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("on 1 core of")) << layout;
    EXPECT_THAT(outcome.output, HasSubstr("hardware thread")) << layout;
  }
  const Outcome one = local("-n 1 -t 1 true", machine);
  EXPECT_EQ(one.exit_code, 0);
  EXPECT_THAT(one.output, Not(HasSubstr("hardware thread")));
}

// In a mount namespace with the files of a cgroup in a tmpfs.
TEST_F(LocalScript, WarnsOfACpuQuota) {
  if (allowed_cpus().size() < 2 || !works("unshare -m true"))
    GTEST_SKIP() << "needs two cores and root";
  const auto under = [&](const std::string& files, const std::string& command) {
    write_text(path("quota.sh"), "mount -t tmpfs tmpfs /sys/fs/cgroup && cd /sys/fs/cgroup && " +
                                     files + "\ncd /\n" + command);
    return run_shell("unshare -m bash " + path("quota.sh")).output;
  };
  const std::string two = command("-n 2 -t 1 true"), v1 = "mkdir cpu && echo 100000 >cpu/cpu.";
  EXPECT_THAT(under("echo 100000 100000 >cpu.max", two),
              AllOf(HasSubstr("under a CPU quota of 1 cores: they will take turns"),
                    HasSubstr("launch/local.sh -n 1 -t 1")));
  EXPECT_THAT(under("echo 150000 100000 >cpu.max", two), HasSubstr("a CPU quota of 1.5 cores"));
  EXPECT_THAT(under("echo max 100000 >cpu.max", two), Not(HasSubstr("quota")));
  EXPECT_THAT(under("echo 200000 100000 >cpu.max", two), Not(HasSubstr("quota")));
  if (read_text("/proc/self/cgroup").find(":cpu:/") != std::string::npos) {
    EXPECT_THAT(under(v1 + "cfs_quota_us && echo 100000 >cpu/cpu.cfs_period_us", two),
                HasSubstr("a CPU quota of 1 cores"));
  }
  const std::string best = "bash -c '. " LAUNCH_DIRECTORY "/common.sh; . " LAUNCH_DIRECTORY
                           "/cores.sh; find_cores; count_cores; best_processes'";
  EXPECT_EQ(under("echo 100000 100000 >cpu.max", best), "1\n") << "as many as study.sh takes";
}

TEST_F(LocalScript, ShowsNoMessageOfMpirunsForAnExitCodeOfARank) {
  const Outcome outcome = local("-n 2 -t 1 /bin/sh -c 'echo said >&2; exit 75'");
  EXPECT_EQ(outcome.exit_code, 75);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("said\n"), Not(HasSubstr(frame))));
  const std::string abort =
      frame +
      "MPI_ABORT was invoked on rank 0 in communicator MPI_COMM_WORLD\nwith errorcode 65.\n" +
      frame + frame +
      "mpirun detected that one or more processes exited with non-zero status, thus causing\n"
      "the job to be terminated.\n" +
      frame + "after\n[vm:1] 1 more process has sent help message help-mpi-api.txt / mpi-abort\n";
  const std::string abort_in_version_5 =
      frame +
      "MPI_ABORT was invoked on rank 0 in communicator MPI_COMM_WORLD\n  Proc: [[1,1],0]\n" +
      frame + frame +
      "prterun has exited due to process rank 0 with PID 0 on node vm calling\n\"abort\".\n" +
      frame + frame +
      "prterun detected that one or more processes exited with non-zero status,\n"
      "thus causing the job to be terminated.\n" +
      frame + "after\n";
  const std::string abort_in_version_6 =
      frame +
      "\nprterun detected that one or more processes exited with non-zero status,\n"
      "thus causing the job to be terminated. The first process to do so was:\n" +
      frame + "after\n";
  for (const std::string& said : {abort, abort_in_version_5, abort_in_version_6}) {
    const Outcome aborted = with_mpirun(said, 65, "-n 2 true");
    EXPECT_EQ(aborted.exit_code, 65);
    EXPECT_THAT(aborted.output, AllOf(HasSubstr("after\n"), Not(HasSubstr("---")),
                                      Not(HasSubstr("MPI_ABORT")), Not(HasSubstr("1 more"))));
  }
}

TEST_F(LocalScript, ShowsWhatElseMpirunSaysAndWhatItMeans) {
  const struct {
    std::string said;
    int exit_code, expected;
    std::string sentence;
  } cases[] = {
      {"There are not enough slots available in the system to satisfy the 2\nslots", 1, 69,
       "local.sh: mpirun has fewer slots here than 2"},
      {"ORTE has lost communication with a remote daemon.\n\n  on node n2", 1, 1,
       "local.sh: mpirun has lost a host"},
      {"mpirun was unable to find the specified executable file, and therefore\ndid not", 134, 134,
       "local.sh: mpirun did not find the command"},
      {"PRTE has lost communication with a remote daemon.\n\n  on node n2", 1, 1,
       "local.sh: mpirun has lost a host"},
      {"prterun was unable to launch the specified application as it lacked\npermissions", 183, 183,
       "local.sh: mpirun did not find the command"},
      {"prterun noticed that process rank 1 with PID 7 on node vm exited on\nsignal 11.", 139, 139,
       "local.sh: a process crashed by signal 11 (SEGV)"},
      {"A message that nobody has heard of.", 1, 1, ""},
      {"mpirun noticed that process rank 1 with PID 7 on node vm exited on signal 9 (Killed).", 137,
       137, "local.sh: a process was ended by signal 9 (KILL), from outside or for want of memory"},
      {"mpirun noticed that process rank 1 with PID 7 on node vm exited on signal 11.", 139, 139,
       "local.sh: a process crashed by signal 11 (SEGV)"},
  };
  for (const auto& c : cases) {
    const Outcome outcome = with_mpirun(frame + c.said + "\n" + frame, c.exit_code, "-n 2 true");
    EXPECT_EQ(outcome.exit_code, c.expected) << c.said;
    EXPECT_THAT(outcome.output, AllOf(HasSubstr(frame + c.said + "\n" + frame),
                                      HasSubstr(c.sentence), Not(HasSubstr("newest checkpoint"))));
  }
}

TEST_F(LocalScript, SpeaksOfACheckpointWhereTheCommandMakesSome) {
  EXPECT_THAT(with_mpirun("", 137, "-n 2 train --output runs/a").output,
              HasSubstr("the same command goes on from the newest checkpoint"));
}

TEST_F(LocalScript, TakesNoExitCodeForASignalThatIsNone) {
  for (const int code : {255, 200, 160}) {
    const Outcome outcome = with_mpirun("", code, "-n 2 true");
    EXPECT_EQ(outcome.exit_code, code);
    EXPECT_THAT(outcome.output, AllOf(HasSubstr("exit code " + std::to_string(code)),
                                      Not(HasSubstr("by signal")), Not(HasSubstr("invalid"))));
  }
}

TEST_F(LocalScript, AsksForAllocationsOfEnoughSlots) {
  const Outcome outcome =
      local("-n 2 -t 1 true",
            "SLURM_JOBID=1 SLURM_NODELIST=$(hostname) SLURM_NNODES=1 SLURM_TASKS_PER_NODE=1 "
            "SLURM_JOB_CPUS_PER_NODE=2");
  EXPECT_EQ(outcome.exit_code, 69) << outcome.output;
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("not enough slots"), HasSubstr("--ntasks=2")));
}

// For both streams, with a reader that goes away before the processes print their first line.
TEST_F(LocalScript, GoesOnWhereNobodyReadsWhatItPrints) {
  const std::string talk = "for i in 1 2 3 4 5 6 7 8; do echo $i; echo $i >&2; sleep 0.1; done; ";
  run_shell("{ " + command("-n 2 -t 1 sh -c '" + talk + "echo done >>" + path("done") + "'") +
            "; echo $? >" + path("code") + "; } 2>&1 | head -n 1; until [ -s " + path("code") +
            " ]; do sleep 0.1; done");
  EXPECT_EQ(read_text(path("code")), "0\n");
  EXPECT_EQ(read_text(path("done")), "done\ndone\n");
  EXPECT_EQ(local("-n 1 true >&- 2>&-", "timeout 60").exit_code, 0);
}

TEST_F(LocalScript, HandsAHangUpOnAsARequestToStop) {
  for (const char* signal : {"HUP", "TERM"}) {
    fs::remove(path("said"));
    const Outcome outcome = run_shell(
        command("-n 2 -t 1 sh -c 'trap \"exit 75\" USR1; echo ready >&2; for i in $(seq 600); do "
                "sleep 0.1; done'") +
        " 2>" + path("said") + " & until [ \"$(grep -cs ^ready " + path("said") +
        ")\" = 2 ]; do sleep 0.1; done; kill -" + signal + " $!; wait $!");
    EXPECT_EQ(outcome.exit_code, 75) << signal << read_text(path("said"));
  }
}

// They may be any program, and version 5 of Open MPI leaves them alone when it is killed.
TEST_F(LocalScript, ASecondInterruptEndsTheProcessesToo) {
  const std::string rank = "sh -c 'trap : USR1; echo $$ >>" + path("ranks") +
                           "; for i in $(seq 600); do sleep 0.1; done'";
  const Outcome outcome = run_shell(
      "env --default-signal=INT " + command("-n 2 -t 1 " + rank) + " & until [ \"$(cat " +
      path("ranks") +
      " 2>/dev/null | wc -l)\" = 2 ]; do sleep 0.1; done; kill -INT $!; sleep 0.5; kill -INT $!; "
      "wait $!; sleep 1; " +
      living("$(cat " + path("ranks") + ")"));
  EXPECT_EQ(outcome.output.find("still there"), outcome.output.npos) << outcome.output;
}

TEST_F(LocalScript, StopsWith75BeforeAnythingHasBegun) {
  for (const char* delay : {"0.05", "0.15", "0.3"}) {
    const Outcome outcome = run_shell(command("-n 1 sh -c 'trap \"exit 75\" USR1; while :; do "
                                              "sleep 0.1; done'") +
                                      " & sleep " + delay + "; kill -TERM $!; wait $!");
    EXPECT_THAT(outcome.exit_code, testing::AnyOf(75, 138, 143)) << outcome.output;
  }
}

TEST_F(LocalScript, NamesATemporaryDirectoryThatCannotBeUsed) {
  const Outcome outcome = local("-n 1 true", "TMPDIR=/nowhere/at/all");
  EXPECT_EQ(outcome.exit_code, 73);
  EXPECT_THAT(outcome.output, testing::StartsWith("local.sh: TMPDIR is '/nowhere/at/all', where "));
  EXPECT_FALSE(fs::exists("/nowhere"));
}

TEST_F(LocalScript, GivesAUserWithoutANameAHome) {
  const std::string nobody =
      "setpriv --reuid=54321 --regid=54321 --clear-groups env -u HOME -u USER -u LOGNAME";
  if (!works(nobody + " test -r " LAUNCH_DIRECTORY "/local.sh")) GTEST_SKIP() << "needs root";
  fs::permissions(path(""), fs::perms::all);
  const Outcome outcome = local("-n 2 -t 1 sh -c 'exit 3'", nobody);
  EXPECT_EQ(outcome.exit_code, 3) << outcome.output;
}

// Whether another process's memory can be read by a system call, as Open MPI prefers.
bool single_copy_works() {
  char theirs = 'a', got = 'b';
  int hold[2];
  if (pipe(hold) != 0) return false;
  const pid_t child = fork();
  if (child == 0) {
    close(hold[1]);
    _exit(read(hold[0], &got, 1) == 0 ? 0 : 1);
  }
  iovec local{&got, 1}, remote{&theirs, 1};
  const bool read = process_vm_readv(child, &local, 1, &remote, 1, 0) == 1 && got == 'a';
  close(hold[0]);
  close(hold[1]);
  waitpid(child, nullptr, 0);
  return read;
}

TEST_F(LocalScript, TurnsSingleCopiesOffOnlyWhereTheyDoNotWork) {
  if (has_mpich()) GTEST_SKIP() << "MPICH has no such option";
  const auto is_off = testing::AnyOf(HasSubstr("--mca btl_vader_single_copy_mechanism none"),
                                     HasSubstr("--mca smsc "));
  const std::string unset = "env -u OMPI_MCA_btl_vader_single_copy_mechanism -u OMPI_MCA_smsc";
  EXPECT_THAT(local("true", unset).output,
              testing::Conditional(single_copy_works(), Not(is_off), is_off));
  fs::create_directories(path("bin"));
  fs::create_symlink("/bin/false", path("bin/perl"));
  EXPECT_THAT(local("true", unset + " PATH=" + path("bin") + ":$PATH").output, is_off);
}

}  // namespace
}  // namespace switchyard::test
