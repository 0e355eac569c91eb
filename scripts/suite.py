"""The test suite: stages, run one after another, whose verdicts end up in one report.

Each stage says in one line how it went; failures are shown where they happen and named again at the
end. Results of a stage are kept in build/results/. The last line is "N passed, N failed, N skipped".
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
BUILD = SOURCE / "build"
RESULTS = BUILD / "results"
JOBS = os.cpu_count() or 1
FUZZ_SECONDS = int(os.environ.get("ENSEMBLE_FUZZ_SECONDS", "60"))
MINIMUM_COVERAGE = 85
POWER_CUTS = int(os.environ.get("ENSEMBLE_POWER_CUTS", "200"))
CALL_SECONDS = 60
# More failures than this are no accident of timing.
MOST_RUN_AGAIN = 5
# Nor are more than these in the whole suite.
MOST_UNSTEADY = 5
PROVEN = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|SEGFAULT|Segmentation fault|"
                    r"Subprocess aborted|Assertion .* failed")
NIGHTLY_CALL_SECONDS = 600


class Report:
    """Verdicts of all stages. A test is (stage, name, detail)."""

    def __init__(self):
        self.passed, self.failed, self.skipped = [], [], []
        # Failed beside others, passed alone: counted as passed, named at the end all the same.
        self.unsteady = []

    def add(self, verdict, stage, name, detail=""):
        {"passed": self.passed, "failed": self.failed, "skipped": self.skipped}[verdict].append(
            (stage, name, detail.strip()))

    def counts(self):
        return len(self.passed), len(self.failed), len(self.skipped)


class StageFailed(Exception):
    """A stage that could not run its tests; the message is shown."""


def execute(command, log, timeout=1800, environment=None):
    """Runs a command with its output in RESULTS/log; returns (exit code, output)."""
    path = RESULTS / log
    with open(path, "w", encoding="utf-8") as out:
        try:
            code = subprocess.run([str(word) for word in command], cwd=SOURCE, stdout=out,
                                  stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=timeout,
                                  env={**os.environ, **(environment or {})}, check=False).returncode
        except subprocess.TimeoutExpired:
            out.write(f"\nstopped: it ran longer than {timeout} s\n")
            code = 124
    return code, path.read_text(encoding="utf-8", errors="replace")


def check(report, stage, name, command, timeout=1800, environment=None):
    """One test that is a command: it passes when the command exits with 0."""
    code, output = execute(command, f"{stage}-{name}.log".replace("/", "-"), timeout, environment)
    report.add("failed" if code else "passed", stage, name, output[-6000:] if code else "")
    return output


def build(preset, *targets):
    """Configures and builds a preset, or only targets of it. The whole output is in RESULTS/build-PRESET.log."""
    if not (BUILD / preset / "build.ninja").exists():
        code, output = execute(["cmake", "--preset", preset], f"configure-{preset}.log")
        if code:
            raise StageFailed(output[-4000:])
    code, output = execute(["ninja", "-C", f"build/{preset}", *targets], f"build-{preset}.log", timeout=3600,
                           environment={"CCACHE_SLOPPINESS": "pch_defines,time_macros"})
    if code:
        lines = [line for line in output.splitlines() if not line.startswith("[")]
        raise StageFailed("\n".join(lines[-60:]))


def skip_reason(text):
    match = re.search(r": Skipped\n(.*?)\n(?:\n|\[)", text, re.DOTALL)
    if match:
        return " ".join(match.group(1).split())
    return (text.strip().splitlines() or ["no reason was given"])[-1]


def run_ctest_once(log, preset, *arguments, environment=None):
    """Runs CTest tests of a preset; returns (exit code, output, [(verdict, name, detail)])."""
    junit = RESULTS / f"{log}.xml"
    junit.unlink(missing_ok=True)
    code, output = execute(
        ["ctest", "--test-dir", f"build/{preset}", "--output-junit", junit, "--output-on-failure",
         "--test-output-size-passed", "65536", *arguments], f"{log}.log", environment=environment)
    if not junit.exists():
        raise StageFailed(output[-4000:])
    cases = []
    for case in ElementTree.parse(junit).getroot().iter("testcase"):
        text = case.findtext("system-out") or ""
        failure = case.find("failure")
        if case.get("status") == "fail" or failure is not None:
            reason = failure.get("message", "") if failure is not None else ""
            cases.append(("failed", case.get("name"), f"{text[-6000:]}\n{reason}"))
        elif case.find("skipped") is not None:
            cases.append(("skipped", case.get("name"), skip_reason(text)))
        else:
            cases.append(("passed", case.get("name"), ""))
    return code, output, cases


def run_ctest(report, stage, preset, *arguments, environment=None, without="^(contract|programs)$"):
    """Runs the CTest tests of a preset, each of them a test of the report.

    Guests share the processors with the tests beside them and have time limits: what failed then is run
    once more alone, and that verdict counts."""
    code, output, cases = run_ctest_once(
        # Labels that are stages of their own.
        stage, preset, "--label-exclude", without, "--parallel", JOBS, *arguments, environment=environment)
    if not cases:
        raise StageFailed(f"no test was found in build/{preset}")
    if code and not any(verdict == "failed" for verdict, _, _ in cases):
        raise StageFailed(output[-4000:])

    def alone(names):
        return run_ctest_once(f"{stage}-again", preset, "--tests-regex", names, environment=environment)[2]

    add_cases(report, stage, cases, alone)


def add_cases(report, stage, cases, alone):
    """Adds [(verdict, name, detail)] to the report; alone(REGEX) runs the tests that match once more."""
    failed = {name: detail for verdict, name, detail in cases if verdict == "failed"}
    # What a sanitizer or a signal has shown is a fault, however often it shows.
    if 0 < len(failed) <= MOST_RUN_AGAIN and not any(map(PROVEN.search, failed.values())):
        again = {case[1]: case for case in alone(f"^({'|'.join(re.escape(name) for name in failed)})$")
                 if case[0] != "skipped"}
        cases = [again.get(case[1], case) if case[0] == "failed" else case for case in cases]
    for verdict, name, detail in cases:
        report.add(verdict, stage, name, detail)
        if verdict == "passed" and name in failed:
            report.unsteady.append((stage, name, failed[name]))


def run_google_tests(report, stage, command, environment):
    """Runs a GoogleTest program as one test of the report."""
    name = Path(command[0]).name

    def run(log, words):
        code, output = execute(words, log, environment=environment)
        return [("failed" if code else "passed", name, output[-6000:] if code else "")], output

    cases, output = run(f"{stage}-{name}.log", command)
    failed = set(re.findall(r"^\[  FAILED  \] ([\w/]+\.[\w/]+)", output, re.MULTILINE))
    filters = ["--gtest_filter=" + ":".join(sorted(failed))] if failed else []

    # All failures have to be known: a program that crashed has not told them.
    told = re.search(r"^ ?(\d+) FAILED TESTS?$", output, re.MULTILINE)
    possible = bool(told) and int(told.group(1)) == len(failed) <= MOST_RUN_AGAIN

    def alone(_):
        return run(f"{stage}-{name}-again.log", [*command, *filters])[0] if possible else cases

    add_cases(report, stage, cases, alone)


def stage_sources(report):
    """format, text, include directions and file lengths of all sources"""
    check(report, "sources", "format", ["scripts/check-format"])
    check(report, "sources", "sources", ["scripts/check-sources"])


def stage_tidy(report):
    """clang-tidy on host sources that changed since they last passed"""
    build("release")
    check(report, "tidy", "clang-tidy", ["scripts/check-tidy"], timeout=3600)


def stage_contract(report):
    """what Linux promises to programs, behaviour by behaviour, host and guest compared"""
    build("release")
    output = check(report, "contract", "contract", ["build/release/bin/contract_test"], timeout=3600)
    for name in re.findall(r"^unsteady: (.*)$", output, re.MULTILINE):
        report.unsteady.append(("contract", name, "see build/results/contract-contract.log"))


def stage_unit(report):
    """release build; unit tests and lane P's integration tests"""
    build("release")
    run_ctest(report, "unit", "release")


def stage_programs(report):
    """Debian's programs in a device: shell, compiler, database, archives, Python"""
    build("release")
    run_ctest(report, "programs", "release", "--label-regex", "^programs$", without="^contract$")


def stage_power_cuts(report):
    """200 power cuts: half of them while dd writes to /data, half while SQLite does, with both journals"""
    build("release")
    runs = {"dd": ("integration_test", "Disk.LosesNothing*", POWER_CUTS // 2),
            "sqlite3, write-ahead log": ("programs_test", "*PowerCut*/wal", POWER_CUTS // 4),
            "sqlite3, rollback journal": ("programs_test", "*PowerCut*/delete", POWER_CUTS // 4)}
    for name, (program, tests, cuts) in runs.items():
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            report.add("skipped", "power-cuts", name, "/dev/kvm is missing or forbidden on this host")
            continue
        check(report, "power-cuts", f"{name}, {cuts} cuts", [f"build/release/bin/{program}", f"--gtest_filter={tests}"],
              timeout=7200, environment={"ENSEMBLE_POWER_CUTS": str(cuts)})


def stage_linux_programs(report):
    """Python's own tests, on the host and in a device, and stress-ng's classes, at length"""
    build("release")
    check(report, "linux-programs", "linux-programs", ["scripts/linux-programs"], timeout=7200)


def run_unittests(report, stage, folder):
    """Runs the Python tests in a folder, each of them a test of the report."""
    code, output = execute([sys.executable, "-B", "-m", "unittest", "discover", "-v", "-s", folder], f"{stage}.log")
    cases = re.findall(r"^(\w+) \((\S+)\)(?:\n.*?)? \.\.\. (ok|FAIL|ERROR|skipped.*)$", output, re.MULTILINE)
    for name, suite, verdict in cases:
        label = f"{suite.split('.')[-2] if suite.endswith(name) else suite}.{name}"
        if verdict == "ok":
            report.add("passed", stage, label)
        elif verdict.startswith("skipped"):
            report.add("skipped", stage, label, verdict.removeprefix("skipped").strip(" '\""))
        else:
            report.add("failed", stage, label, output[-6000:])
    if code and not any(entry[0] == stage for entry in report.failed) or not cases:
        raise StageFailed(output[-4000:])


def stage_tools(report):
    """tests of the scripts: each check must be able to fail"""
    run_unittests(report, "tools", "tests/scripts")


def stage_package(report):
    """the Debian packages: contents, lintian, and devices that run from an installation"""
    build("release")
    run_unittests(report, "package", "tests/package")


def stage_kernel(report):
    """ring-0 instructions and sizes of the kernel and the boot package"""
    build("release")
    check(report, "kernel", "ring-0 instructions", ["scripts/check-ring0", kernel()])
    check(report, "kernel", "sizes", ["scripts/check-sizes"])


# The sanitized host programs run the release build's guest.
GUEST = {"ENSEMBLE_GUEST_DIR": str(BUILD / "release" / "guest-kernel")}


def stage_asan(report):
    """the host's tests with AddressSanitizer and UndefinedBehaviorSanitizer"""
    build("release")
    build("asan")
    run_ctest(report, "asan", "asan", environment={
        "ASAN_OPTIONS": "detect_leaks=1:handle_sigbus=0", "UBSAN_OPTIONS": "print_stacktrace=1", **GUEST})


def stage_tsan(report):
    """the host's tests, and the programs that they start, with ThreadSanitizer"""
    programs = {
        "vmm_test": (), "device_model_test": (), "control_test": (), "control_process_test": (),
        # The nucleus's tests keep the guest busy, the idle test keeps everybody waiting.
        "integration_test": ("--gtest_filter=-Nucleus.*:Idle.*",)}
    build("release")
    build("tsan", "ensemble", "ensemble-vmm", *programs)
    for old in RESULTS.glob("tsan-report.*"):
        old.unlink()
    # ensemble-vmm ends by _exit while its threads exist, on purpose: that is no leak.
    options = f"halt_on_error=1 report_thread_leaks=0 handle_sigbus=0 log_path={RESULTS}/tsan-report"
    for program, arguments in programs.items():
        run_google_tests(report, "tsan", [BUILD / "tsan" / "bin" / program, *arguments],
                         {"TSAN_OPTIONS": options, **GUEST})
    # A test may expect that a program fails, but never for this reason.
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in RESULTS.glob("tsan-report.*")]
    report.add("failed" if texts else "passed", "tsan", "no process has a report", "\n".join(texts)[:6000])


def stage_launches(report):
    """500 launches, 8 at a time, with nothing left behind; time from start to exit"""
    build("release")
    names = ("500 launches exit right", "launches leave nothing behind", "start to exit is quick")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        for name in names:
            report.add("skipped", "launches", name, "/dev/kvm is missing or forbidden on this host")
        return
    path = RESULTS / "launches.json"
    path.unlink(missing_ok=True)
    code, output = execute(["scripts/bench", "launches", "startup", "--json", path], "launches.log")
    if code or not path.exists():
        raise StageFailed(output[-6000:])
    result = json.loads(path.read_text(encoding="utf-8"))
    launches, start = result["launches"], result["startup"]

    def judge(name, good, measured):
        report.add("passed" if good else "failed", "launches", name, json.dumps(measured, indent=1))

    judge(names[0], launches["right_exit_codes"] == launches["launches"], launches)
    judge(names[1], not launches["left_processes"] and not launches["left_files"], launches)
    # A host that is busy with other work slows QEMU as well: then the ratio decides.
    milliseconds, ratio = start["ensemble"]["milliseconds"]["median"], start["time_ratio_to"]
    judge(names[2], milliseconds <= 100 or ratio.get("qemu_bare_kernel", 9) <= 2, start)
    print(f"         start to exit: median {milliseconds:.0f} ms; ratio to QEMU microvm: {ratio}", flush=True)


def stage_coverage(report):
    """line coverage of vmm/ and device-model/ by unit tests"""
    output = check(report, "coverage", f"at least {MINIMUM_COVERAGE} % of lines",
                   ["scripts/coverage", "--fail-under", MINIMUM_COVERAGE], timeout=3600)
    totals = [line for line in output.splitlines() if line.startswith("coverage:")]
    if totals:
        print("         " + totals[-1], flush=True)


def stage_fuzz(report):
    """each fuzz target for a minute, starting from its corpus"""
    build("fuzz")
    targets = sorted(path for path in (BUILD / "fuzz" / "fuzz").glob("*") if os.access(path, os.X_OK)
                     and path.is_file())
    if not targets:
        raise StageFailed("no fuzz target was built")
    running = []
    for target in targets:
        corpus = BUILD / "fuzz" / "corpus" / target.name
        corpus.mkdir(parents=True, exist_ok=True)
        seeds = [folder for folder in [SOURCE / "tests" / "fuzz" / "corpus" / target.name] if folder.exists()]
        log = open(RESULTS / f"fuzz-{target.name}.log", "w", encoding="utf-8")
        running.append((target, log, subprocess.Popen(
            [target, f"-max_total_time={FUZZ_SECONDS}", "-timeout=10", "-rss_limit_mb=2048",
             f"-artifact_prefix={RESULTS}/fuzz-{target.name}-", corpus, *seeds],
            cwd=BUILD / "fuzz", stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)))
    for target, log, process in running:
        try:
            code = process.wait(timeout=FUZZ_SECONDS + 120)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        log.close()
        output = (RESULTS / f"fuzz-{target.name}.log").read_text(encoding="utf-8", errors="replace")
        runs = re.search(r"Done (\d+) runs", output)
        name = f"{target.name}, {FUZZ_SECONDS} s" + (f", {runs.group(1)} runs" if runs else "")
        report.add("failed" if code or not runs else "passed", "fuzz", name, output[-6000:])


def stage_calls(report):
    """random hostile system calls and damaged programs in a guest, for a minute on lane P"""
    build("release")
    seconds = NIGHTLY_CALL_SECONDS if os.environ.get("ENSEMBLE_NIGHTLY") else CALL_SECONDS
    seed = os.environ.get("ENSEMBLE_CALL_SEED", "1")
    runs = {f"random calls for {seconds} s from seed {seed}": ["fuzz_calls", seconds, seed],
            "damaged programs": ["bad_elf"]}
    for name, command in runs.items():
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            report.add("skipped", "calls", name, "/dev/kvm is missing or forbidden on this host")
            continue
        check(report, "calls", name,
              ["build/release/bin/ensemble", "run", "phone", "--rootfs", "build/release/guest-programs.cpio",
               "--", "/test/" + command[0], *command[1:]], timeout=seconds + 300)


def run_lane_s(log, *arguments):
    """Runs lane S; returns (exit code, output, [(verdict, name, detail)])."""
    path = RESULTS / f"{log}.json"
    path.unlink(missing_ok=True)
    code, output = execute(["scripts/lane-hw", "--json", path, *arguments], f"{log}.log")
    if not path.exists():
        raise StageFailed(output[-6000:])
    cases = json.loads(path.read_text(encoding="utf-8"))
    return code, output, [(case["verdict"], case["name"], case.get("detail", "")) for case in cases]


def stage_lane_s(report):
    """the same tests inside a stock Debian kernel with hardware KVM, emulated by QEMU"""
    build("release")
    code, output, cases = run_lane_s("lane-s")
    if code and not any(verdict == "failed" for verdict, _, _ in cases):
        raise StageFailed(output[-6000:])
    add_cases(report, "lane-s", cases, lambda names: run_lane_s("lane-s-again", "--tests", names)[2])


def stage_lane_t(report):
    """the kernel on QEMU's microvm, ring-0 instructions counted and compared"""
    build("release")
    path = RESULTS / "lane-t.json"
    path.unlink(missing_ok=True)
    code, output = execute(["scripts/lane-ruler", "--json", path, "--compare", "tests/lanes/ruler.json"],
                           "lane-t.log")
    if not path.exists():
        raise StageFailed(output[-6000:])
    for case in json.loads(path.read_text(encoding="utf-8")).get("verdicts", []):
        report.add(case["verdict"], "lane-t", case["name"], case.get("detail", ""))
    if code and not any(entry[0] == "lane-t" for entry in report.failed):
        raise StageFailed(output[-6000:])


STAGES = {
    "sources": stage_sources,
    "unit": stage_unit,
    "programs": stage_programs,
    "contract": stage_contract,
    "tools": stage_tools,
    "package": stage_package,
    "kernel": stage_kernel,
    "asan": stage_asan,
    "tsan": stage_tsan,
    "lane-s": stage_lane_s,
    "lane-t": stage_lane_t,
    "launches": stage_launches,
    "fuzz": stage_fuzz,
    "calls": stage_calls,
    "coverage": stage_coverage,
    "linux-programs": stage_linux_programs,
    "power-cuts": stage_power_cuts,
    "tidy": stage_tidy,
}


# Not part of a plain run: they take as long as all the others.
ON_REQUEST = ("linux-programs", "power-cuts", "tidy")


def kernel():
    """The kernel ELF of the release build."""
    return SOURCE / "build" / "release" / "guest-kernel" / "nucleus.elf"


def run_stage(report, name):
    before, start = report.counts(), time.monotonic()
    try:
        STAGES[name](report)
    except StageFailed as error:
        report.add("failed", name, "the stage itself", str(error))
    passed, failed, skipped = (now - then for now, then in zip(report.counts(), before))
    verdict = "FAIL" if failed else "ok"
    counts = f"{passed} passed" + (f", {failed} failed" if failed else "") + (
        f", {skipped} skipped" if skipped else "")
    print(f"{name:<15}{verdict:<5}{time.monotonic() - start:6.1f} s  {counts}", flush=True)
    for stage, test, detail in report.failed[before[1]:]:
        print(f"\n--- {stage}: {test}\n{detail}\n", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="test", description="Runs the test suite.")
    parser.add_argument("--nightly", action="store_true",
                        help="the runs that a night has time for: ten minutes of random system calls")
    parser.add_argument("--list", action="store_true", help="say what the stages are")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="run these stages only")
    arguments = parser.parse_args()
    if arguments.list:
        for name, function in STAGES.items():
            note = " (on request)" if name in ON_REQUEST else ""
            print(f"{name:<15} {function.__doc__}{note}")
        return 0
    if arguments.nightly:
        os.environ["ENSEMBLE_NIGHTLY"] = "1"
    unknown = [name for name in arguments.stages if name not in STAGES]
    if unknown:
        parser.error(f"there is no stage '{unknown[0]}'; the stages are {', '.join(STAGES)}")
    os.environ.setdefault("CCACHE_DIR", str(BUILD / "ccache"))
    RESULTS.mkdir(parents=True, exist_ok=True)
    report = Report()
    start = time.monotonic()
    for name in arguments.stages or [name for name in STAGES if name not in ON_REQUEST]:
        run_stage(report, name)
    for stage, test, detail in report.skipped:
        print(f"skipped  {stage}: {test}: {detail}")
    for stage, test, detail in report.unsteady:
        print(f"unsteady {stage}: {test}: failed beside other tests, passed alone; it failed with\n{detail}")
    if len(report.unsteady) > MOST_UNSTEADY:
        report.add("failed", "suite", f"at most {MOST_UNSTEADY} tests are unsteady")
    for stage, test, _ in report.failed:
        print(f"failed   {stage}: {test}")
    print(f"results are in build/results; the suite took {time.monotonic() - start:.0f} s")
    print("{} passed, {} failed, {} skipped".format(*report.counts()))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
