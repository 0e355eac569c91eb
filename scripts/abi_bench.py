"""What Linux programs pay on Ensemble, beside the same static binary on Debian's Linux (scripts/bench).

Lane T boots the binary on both kernels on QEMU's microvm, where an instruction is a tick; lane P runs it
on this machine's KVM.
"""

import json
import math
import os
import re
import stat
import statistics
import subprocess
import tempfile
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import ruler

SOURCE = Path(__file__).resolve().parent.parent
DOCUMENT = SOURCE / "docs" / "linux-abi-costs.md"
TABLE_START, TABLE_END = "<!-- scripts/bench abi: table -->\n", "<!-- end of table -->\n"
DONE = "abi-operations: done"
LINUX = [*ruler.MACHINE[:1], "microvm,acpi=off", *ruler.MACHINE[2:]]
LINUX_WORDS = "console=ttyS0 quiet panic=-1 reboot=t"
# The same work for guest and host: seconds of a processor's time, so that a program's start weighs little. Each
# prints how long it took; what starts slowly measures from inside.
TIMED = ["/usr/bin/abi-operations", "--time"]
WORK = {
    "xz": [*TIMED, "/usr/bin/xz", "-6", "--keep", "--stdout", "--threads=1",
           "/usr/bin/python3.11", "/usr/bin/python3.11"],
    "sqlite3": [*TIMED, "/usr/bin/sqlite3", ":memory:",
                "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 10000000) "
                "SELECT sum(x * x % 7) FROM c;"],
    "python3": ["/usr/bin/python3", "/usr/lib/python_work.py"],
}
WORK_PACKAGES = ["busybox-static", "xz-utils", "sqlite3", "python3-minimal"]


class AbiBenchError(Exception):
    """A measurement that could not be made; the message is for people."""


def run(command, timeout=120):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, timeout=timeout, check=False)
    return done.returncode, done.stdout, done.stderr


def pack(program, output):
    """The archive that both kernels start from."""
    code, _, error = run([SOURCE / "scripts" / "pack-cpio", "-o", output, "--dir", "dev", "--dir", "proc", "--dir",
                          "tmp", f"init={program}:755"])
    if code:
        raise AbiBenchError(error.strip())


def records(console, key):
    if DONE not in console:
        raise AbiBenchError(f"the operations did not all end; the console: {console[-2000:]}")
    return {record["operation"]: record[key]
            for record in map(json.loads, re.findall(r"\{\"operation\".*\}", console))}


def stock_kernel():
    loader = SourceFileLoader("lane_hw", str(SOURCE / "scripts" / "lane-hw"))
    module = module_from_spec(spec_from_loader("lane_hw", loader))
    loader.exec_module(module)
    try:
        module.CACHE.mkdir(parents=True, exist_ok=True)
        folder = module.debian_kernel("cloud-amd64")
    except module.LaneError as error:
        raise AbiBenchError(str(error)) from error
    return folder.name, next((folder / "boot").glob("vmlinuz-*"))


def on_linux(kernel, archive, words, timeout):
    """Linux panics, and so ends, when its first process has ended."""
    code, console, error = run(["qemu-system-x86_64", *LINUX, "-m", "256", "-serial", "stdio", "-kernel", kernel,
                                "-initrd", archive, "-append", f"{LINUX_WORDS} {words}"], timeout)
    if code:
        raise AbiBenchError(f"QEMU ended with {code}: {error.strip()}")
    return records(console, "ticks")


def on_ensemble(build, archive, folder, timeout):
    initrd = Path(folder, "initrd")
    initrd.write_bytes((build / "guest-kernel" / "boot.pkg").read_bytes() + archive.read_bytes())
    console, code = ruler.qemu(build / "guest-kernel" / "nucleus.elf", initrd, ruler.command_line(["/init"]),
                               timeout=timeout)
    if code:
        raise AbiBenchError(f"the operations ended with {code}; the console: {console[-2000:]}")
    return records(console, "ticks")


def on_lane_p(build, archive, runs):
    """Microseconds of each operation: the median of some runs."""
    found = []
    for _ in range(runs):
        code, console, error = run([build / "bin" / "ensemble", "run", "phone", "--cpus", "1", "--initrd", archive,
                                    "--", "/init"])
        if code:
            raise AbiBenchError(f"'ensemble run' exited with {code}: {error.strip()}{console[-500:]}")
        found.append(records(console, "nanoseconds"))
    return {name: statistics.median(each[name] for each in found) / 1000 for name in found[0]}


def geometric_mean(numbers):
    numbers = list(numbers)
    return math.exp(sum(map(math.log, numbers)) / len(numbers))


def table(result):
    lines = [f"Linux: `{result['linux']}`. Lane P: median of {result['lane_p_runs']} runs, one processor.", "",
             "| operation | Linux | Ensemble | ratio | lane P, µs |", "|---|--:|--:|--:|--:|"]
    for name, row in result["operations"].items():
        lines.append(f"| {name} | {row['linux']:,} | {row['ensemble']:,} | {row['ratio']:.2f} | "
                     f"{row['lane_p_microseconds']:,.1f} |")
    lines.append(f"| **geometric mean** | | | **{result['geometric_mean']:.2f}** | |")
    return "\n".join(lines) + "\n"


def update_document(result):
    text = DOCUMENT.read_text(encoding="utf-8")
    head, start, rest = text.partition(TABLE_START)
    _, end, tail = rest.partition(TABLE_END)
    if not start or not end:
        raise AbiBenchError(f"{DOCUMENT} has no place for the table")
    DOCUMENT.write_text(f"{head}{start}{table(result)}{end}{tail}", encoding="utf-8")


def measure_operations(build, runs, update, timeout=900):
    name, kernel = stock_kernel()
    with tempfile.TemporaryDirectory(prefix="abi-bench-") as folder:
        archive = Path(folder, "archive")
        pack(build / "bin" / "abi_operations", archive)
        linux = on_linux(kernel, archive, "mitigations=off", timeout)
        ensemble = on_ensemble(build, archive, folder, timeout)
        lane_p = on_lane_p(build, archive, runs)
    result = {"linux": name, "lane_p_runs": runs, "operations": {}}
    for operation, instructions in linux.items():
        result["operations"][operation] = {
            "linux": instructions, "ensemble": ensemble[operation],
            "ratio": round(ensemble[operation] / instructions, 3),
            "lane_p_microseconds": round(lane_p[operation], 2)}
    ratios = {operation: row["ratio"] for operation, row in result["operations"].items()}
    result["geometric_mean"] = round(geometric_mean(ratios.values()), 3)
    result["over_twice"] = [operation for operation, ratio in ratios.items() if ratio > 2]
    if update:
        update_document(result)
    return result


def elapsed(output):
    match = re.search(r"\{\"elapsed_nanoseconds\": (\d+), \"status\": 0\}", output)
    if match is None:
        raise AbiBenchError(f"a program did not end well: {output[-500:]}")
    return int(match.group(1)) / 1e9


def work_root(build, folder):
    """The same files for both: an image for the device, and the folder that it unpacks to for the host."""
    image, tree = build / "bench-root.cpio", Path(folder, "tree")
    timer = build / "bin" / "abi_operations"
    if not timer.exists():
        raise AbiBenchError(f"{timer} is not built")
    code, _, error = run([SOURCE / "scripts" / "rootfs", "-o", image, "--add", f"usr/bin/abi-operations={timer}",
                          "--add", f"usr/lib/python_work.py={SOURCE / 'tests' / 'lanes' / 'python_work.py'}",
                          *WORK_PACKAGES], 600)
    if code:
        raise AbiBenchError(error.strip())
    tree.mkdir()
    with open(image, "rb") as archive:
        subprocess.run(["cpio", "--quiet", "-idm", "--no-absolute-filenames"], cwd=tree, stdin=archive, check=True)
    (tree / "dev").mkdir(exist_ok=True)
    os.mknod(tree / "dev" / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    return image, tree


def measure_work(build, runs):
    """CPU-bound programs on lane P and on the host, in turns. The host's side needs root, for its chroot."""
    result = {}
    with tempfile.TemporaryDirectory(prefix="abi-bench-") as folder:
        image, tree = work_root(build, folder)
        for name, command in WORK.items():
            places = {"host": ["chroot", tree, *command],
                      "guest": [build / "bin" / "ensemble", "run", "phone", "--rootfs", image, "--", *command]}
            times = {where: [] for where in places}
            for _ in range(runs):
                for where, words in places.items():
                    _, output, error = run(words)
                    times[where].append(elapsed(output + error))
            best = {where: min(found) for where, found in times.items()}
            middle = {where: statistics.median(found) for where, found in times.items()}
            result[name] = {"host_seconds": round(middle["host"], 4), "guest_seconds": round(middle["guest"], 4),
                            "ratio": round(middle["guest"] / middle["host"], 3),
                            "fastest_host_seconds": round(best["host"], 4),
                            "fastest_guest_seconds": round(best["guest"], 4),
                            "ratio_of_fastest": round(best["guest"] / best["host"], 3), "runs": runs}
    return result
