"""Our virtio devices beside QEMU's, on lane S: the same stock Linux as the guest, the same file as its disk,
in turns. Prints a JSON object with the guest's own times, medians of all rounds.

Elsewhere it ends with 77, which CTest counts as skipped. ENSEMBLE_BENCH_BOOTS is how often each is booted.
"""

import functools
import http.server
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

SKIPPED = 77
LIMIT = 300
MEBIBYTE = 1 << 20
DISK_MIB = 64
DOWNLOAD_MIB = 8
# Without what takes an emulated processor long: a search for a PCI bus, and tests of ciphers.
APPEND = "console=ttyS0 quiet mitigations=off pci=off cryptomgr.notests run=bench"
# One queue of 128 descriptors for the disk, the host's page cache, and the network of libslirp: as ours.
QEMU = ("/usr/bin/qemu-system-x86_64", "-M", "microvm,acpi=on,pit=off,pic=off,rtc=off", "-accel", "kvm", "-cpu", "host",
        "-m", "256", "-smp", "1", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-serial", "stdio", "-global", "virtio-mmio.force-legacy=off")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def commands(folder, port):
    stock = Path(os.environ["ENSEMBLE_STOCK_LINUX"])
    kernel, ramdisk, disk = stock / "vmlinuz", stock / "initrd.cpio", Path(folder, "disk.img")
    append = f"{APPEND} download={port}"
    yield "ensemble", [os.environ["ENSEMBLE"], "run", "watch", "--cpus", "1", "--memory", "256M", "--kernel", kernel,
                       "--initrd", ramdisk, "--disk", disk, "--network", "user", "--append", append]
    yield "qemu", [*QEMU, "-kernel", kernel, "-initrd", ramdisk, "-append", append,
                   "-drive", f"id=disk,file={disk},format=raw,if=none,cache=writeback,aio=threads",
                   "-device", "virtio-blk-device,drive=disk,num-queues=1,queue-size=128",
                   "-netdev", "user,id=network", "-device", "virtio-net-device,netdev=network"]


def boot(name, command):
    """What a guest has measured: lists of seconds by name."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", timeout=LIMIT, check=False)
    print(done.stdout, file=sys.stderr, flush=True)
    times = {}
    for line in done.stdout.splitlines():
        words = line.split()
        if words[:2] == ["guest:", "bench"] and len(words) > 3:
            if words[3] == "failed:":
                sys.exit(f"the guest of {name}: {line}")
            times[words[2]] = [float(word) for word in words[3:]]
    if "guest: bench done" not in done.stdout:
        sys.exit(f"the guest of {name} has not measured all; exit code {done.returncode}")
    return times


def main():
    times = {}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "disk.img").write_bytes(os.urandom(DISK_MIB * MEBIBYTE))
        Path(folder, "file").write_bytes(os.urandom(DOWNLOAD_MIB * MEBIBYTE))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for _ in range(int(os.environ.get("ENSEMBLE_BENCH_BOOTS", "2"))):
            for name, command in commands(folder, server.server_port):
                for case, seconds in boot(name, command).items():
                    times.setdefault(case, {}).setdefault(name, []).extend(seconds)
        server.shutdown()
        server.server_close()
    result = {}
    for case, by_name in times.items():
        medians = {name: statistics.median(seconds) for name, seconds in by_name.items()}
        result[case] = {"seconds": medians, "least": {name: min(seconds) for name, seconds in by_name.items()},
                        "rounds": {name: len(seconds) for name, seconds in by_name.items()},
                        "time_ratio_to_qemu": round(medians["ensemble"] / max(medians["qemu"], 0.01), 3)}
    print("\n" + json.dumps({"device_bench": result}))


if __name__ == "__main__":
    if os.environ.get("ENSEMBLE_LANE") != "s":
        print("needs hardware KVM and the files of scripts/lane-hw")
        sys.exit(SKIPPED)
    main()
