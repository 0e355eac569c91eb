"""Debian's stock kernel as a guest on lane S: what its drivers do with devices that answer the host.

Elsewhere the test ends with 77, which CTest counts as skipped: it needs hardware KVM and the files of
scripts/lane-hw.
"""

import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

SKIPPED = 77
PATIENCE = 200
MEBIBYTE = 1 << 20
WORD_AT = 2 * 512
# Without what takes an emulated processor long: a search for a PCI bus, and tests of ciphers.
APPEND = "console=ttyS0 quiet mitigations=off pci=off cryptomgr.notests run=devices"
COMPLAINTS = ("BUG", "WARNING", "ACPI Error", "ACPI Warning", "Kernel panic")


class Guest:
    """A device that runs the stock kernel, and its console."""

    def __init__(self, disk, *options):
        stock = Path(os.environ["ENSEMBLE_STOCK_LINUX"])
        self.disk = disk
        self.process = subprocess.Popen(
            [os.environ["ENSEMBLE"], "run", "watch", "--cpus", "2", "--memory", "256M", "--kernel",
             stock / "vmlinuz", "--initrd", stock / "initrd.cpio", "--disk", disk, "--network", "none", *options,
             "--append", APPEND],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines = []
        self.changed = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            print(line, end="", flush=True)
            with self.changed:
                self.lines.append(line.rstrip())
                self.changed.notify_all()

    def line_with(self, text):
        """The first line with `text`, once there is one."""
        def find():
            return next((line for line in self.lines if text in line), None)
        with self.changed:
            if not self.changed.wait_for(find, PATIENCE):
                raise AssertionError(f"the guest did not say '{text}'; it said:\n" + "\n".join(self.lines))
            return find()

    def tell(self, word):
        """Lets a guest that waits for `word` go on."""
        with open(self.disk, "r+b") as file:
            file.seek(WORD_AT)
            file.write(word.encode().ljust(512, b"\0"))

    def resident_bytes(self):
        """Of the process that the machine runs in."""
        parent = str(self.process.pid)
        for status in Path("/proc").glob("[0-9]*/status"):
            fields = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
            if fields["PPid"].strip() == parent and fields["Name"].strip() == "ensemble-vmm":
                return int(fields["VmRSS"].split()[0]) << 10
        raise AssertionError("there is no ensemble-vmm")


def exchange(connection, content):
    """Sends the content and the end, and returns what comes meanwhile."""
    def send():
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send)
    sender.start()
    received = bytearray()
    while part := connection.recv(1 << 16):
        received += part
    sender.join()
    connection.close()
    return received


def wait_until(holds, limit=PATIENCE):
    deadline = time.monotonic() + limit
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


class StockLinuxDevices(unittest.TestCase):
    def test_uses_its_devices_together_with_the_host(self):
        with tempfile.TemporaryDirectory() as folder:
            disk = Path(folder, "disk.img")
            disk.write_bytes(bytes(8 * MEBIBYTE))
            guest = Guest(disk, "--balloon", "32M", "--vsock", Path(folder, "vsock"))
            self.addCleanup(guest.process.kill)
            self.check_balloon(guest)
            self.check_disk(guest, disk)
            self.check_vsock(guest, Path(folder, "vsock"))
            self.check_power_button(guest)
            self.assertEqual(guest.process.wait(PATIENCE), 0)
            guest.process.stdout.close()
        for complaint in COMPLAINTS:
            self.assertNotIn(complaint, "\n".join(guest.lines))

    def check_balloon(self, guest):
        guest.line_with("memory is free again")
        before = guest.resident_bytes()
        self.assertGreater(before, 128 * MEBIBYTE, "it had filled more than that")
        guest.tell("balloon")
        # Statistics, deflation when memory runs out, and reporting.
        self.assertIn("virtio_balloon, features 011001", guest.line_with("guest: balloon"))
        wait_until(lambda: guest.resident_bytes() < before - 100 * MEBIBYTE)
        after = guest.resident_bytes()
        print(f"host: the process has {before >> 20} MiB before, and {after >> 20} MiB after", flush=True)
        self.assertLess(after, before - 100 * MEBIBYTE)
        guest.tell("inflated")
        self.assertEqual(int(guest.line_with("balloon_inflate").split()[-1]), 32 * MEBIBYTE // 4096)
        guest.line_with("memory can be used again")

    def check_disk(self, guest, disk):
        def blocks():
            return disk.stat().st_blocks * 512
        self.assertIn("disk with 2 queues, discards 2147483648, granularity 512, zeroes 2147483648",
                      guest.line_with("guest: disk with"))
        guest.line_with("disk filled")
        filled = blocks()
        guest.tell("discard")
        guest.line_with("disk discarded")
        discarded = blocks()
        guest.tell("zero")
        guest.line_with("disk zeroed")
        print(f"host: the disk has {filled >> 10} KiB, discarded {discarded >> 10}, zeroed {blocks() >> 10}", flush=True)
        self.assertLessEqual(discarded, filled - 2 * MEBIBYTE)
        guest.tell("compare")
        guest.line_with("disk reads as it should")

    def check_vsock(self, guest, path):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{path}_5000")
        listener.listen(1)
        self.addCleanup(listener.close)
        listener.settimeout(PATIENCE)
        guest.tell("sockets")
        guest.line_with("guest: vsock vmw_vsock_virtio_transport")
        guest.line_with("to nobody, connect: Connection reset by peer")
        digest = guest.line_with("guest: sends").split()[-1]
        content = os.urandom(2 * MEBIBYTE)
        own_digest = hashlib.sha256(content).hexdigest()
        connection, _ = listener.accept()
        self.assertEqual(hashlib.sha256(exchange(connection, content)).hexdigest(), digest)
        self.assertEqual(guest.line_with("guest: connected, got").split()[-1], own_digest)

        guest.line_with("guest: listening")
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(path))
        client.settimeout(PATIENCE)
        client.sendall(b"CONNECT 6000\n")
        answer = b""
        while not answer.endswith(b"\n"):
            answer += client.recv(1)
        self.assertRegex(answer, rb"^OK \d+\n$")
        self.assertEqual(hashlib.sha256(exchange(client, content)).hexdigest(), digest)
        self.assertEqual(guest.line_with("guest: listened, got").split()[-1], own_digest)

    def check_power_button(self, guest):
        self.assertIn("PNP0C0C/button/input0", guest.line_with("guest: waits for its power button"))
        guest.process.terminate()
        # EV_KEY, KEY_POWER, 1.
        self.assertEqual(guest.line_with("guest: button event").split()[3:], ["1", "116", "1", "0"])


if __name__ == "__main__":
    if os.environ.get("ENSEMBLE_LANE") != "s":
        print("needs hardware KVM and the files of scripts/lane-hw")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
