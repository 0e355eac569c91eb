"""Debian's stock kernel, whose drivers nobody here wrote, as a guest on lane S.

It finds the devices through ACPI alone, uses them, and powers off. Elsewhere the test ends with 77, which
CTest counts as skipped: it needs hardware KVM and the files of scripts/lane-hw. ENSEMBLE_DOWNLOAD_MIB is the
size of what it downloads.
"""

import functools
import hashlib
import http.server
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

SKIPPED = 77
DOWNLOAD = int(os.environ.get("ENSEMBLE_DOWNLOAD_MIB", "4")) << 20
LIMIT = 400 + 8 * (DOWNLOAD >> 20)
# Without what takes an emulated processor long: a search for a PCI bus, and tests of ciphers.
APPEND = "console=ttyS0 quiet mitigations=off pci=off cryptomgr.notests"
LINES = (
    "1 CPUs, clock kvm-clock",
    "guest: \\_SB_.VR00 LNRO0005 virtio_console",
    "guest: \\_SB_.VR01 LNRO0005 virtio_rng",
    "guest: \\_SB_.VR02 LNRO0005 virtio_blk",
    "guest: \\_SB_.VR03 LNRO0005 virtio_input",
    "guest: \\_SB_.VR04 LNRO0005 virtio_input",
    "guest: \\_SB_.VR05 LNRO0005 virtio_net",
    "guest: \\_SB_.VR06 LNRO0005",
    "guest: serial \\_SB_.COM1",
    "guest: disk disk of the test",
    "guest: random 16 from virtio_rng.0",
    "guest: virtio console",
    "guest: network carrier 1, MTU 1500",
    "guest: address 10.0.2.15/24, gateway 10.0.2.2, name server 10.0.2.3",
    "guest: the gateway answers",
)
COMPLAINTS = ("BUG", "WARNING", "ACPI Error", "ACPI Warning", "Kernel panic")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


class StockLinux(unittest.TestCase):
    def test_finds_its_devices_by_acpi_uses_them_and_powers_off(self):
        stock = Path(os.environ["ENSEMBLE_STOCK_LINUX"])
        with tempfile.TemporaryDirectory() as folder:
            content = os.urandom(1 << 16) * (DOWNLOAD >> 16)
            Path(folder, "file").write_bytes(content)
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.addCleanup(server.server_close)
            self.addCleanup(server.shutdown)
            disk = Path(folder, "disk.img")
            disk.write_bytes(b"disk of the test".ljust(1 << 20, b"\0"))
            done = subprocess.run(
                [os.environ["ENSEMBLE"], "run", "phone", "--cpus", "1", "--memory", "256M", "--kernel",
                 stock / "vmlinuz", "--initrd", stock / "initrd.cpio", "--disk", disk, "--append",
                 f"{APPEND} download={server.server_port}"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False)
            written = disk.read_bytes()[512:528]
        print(done.stdout)
        self.assertEqual(done.returncode, 0, done.stderr)
        for line in (*LINES, f"guest: download {hashlib.sha256(content).hexdigest()}"):
            self.assertIn(line, done.stdout)
        for complaint in COMPLAINTS:
            self.assertNotIn(complaint, done.stdout)
        self.assertEqual(written, b"written by Linux")


if __name__ == "__main__":
    if os.environ.get("ENSEMBLE_LANE") != "s":
        print("needs hardware KVM and the files of scripts/lane-hw")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
