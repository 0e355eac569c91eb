"""Limits that Linux holds devices to, by control groups of version 2. Lane S."""

import contextlib
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import DaemonTest, eventually

UNLIMITED = "devices are not held to limits by the host"


def mounted():
    """Where the groups of version 2 are; None: nowhere."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="ascii").splitlines():
        if " - cgroup2 " in line:
            return Path(line.split()[4])
    return None


class Groups(DaemonTest):
    @classmethod
    def setUpClass(cls):
        if not mounted() and os.geteuid() == 0:
            place = tempfile.mkdtemp(prefix="ensemble-groups-")
            if subprocess.run(["mount", "-t", "cgroup2", "cgroup2", place], check=False).returncode == 0:
                cls.addClassCleanup(lambda: subprocess.run(["umount", "-l", place], check=False))
        super().setUpClass()

    def daemon_log(self):
        return (self.folder / "log").read_text(encoding="utf-8")

    def group_of(self, process):
        lines = Path(f"/proc/{process}/cgroup").read_text(encoding="ascii").splitlines()
        group, = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
        return group

    def need_limits(self):
        if UNLIMITED in self.daemon_log():
            self.skipTest(self.daemon_log().split(UNLIMITED + ": ", 1)[1].splitlines()[0])

    def test_the_log_has_one_line_of_it(self):
        lines = [line for line in self.daemon_log().splitlines() if "held to limits" in line]
        self.assertEqual(len(lines), 1, lines)

    def test_devices_run_whether_or_not_they_are_held(self):
        self.assertTrue(self.client.running("one").status.process_id)

    def test_a_device_is_held_to_what_it_is_made_of(self):
        self.need_limits()
        device = self.client.running("one", memory_bytes=64 << 20, processors=2)
        group = self.group_of(device.status.process_id)
        self.assertTrue(group.endswith("/ensemble-" + device.uid), group)
        place = mounted() / group.lstrip("/")
        self.assertEqual((place / "memory.max").read_text(encoding="ascii"), f"{(64 + 8 + 128) << 20}\n")
        self.assertEqual((place / "cpu.max").read_text(encoding="ascii"), "300000 100000\n")
        self.assertGreater(int((place / "memory.current").read_text(encoding="ascii")), 0)
        # The next daemon finds it there; what was taken off meanwhile is set again.
        self.kill_daemon()
        with contextlib.suppress(OSError):
            (place / "memory.max").write_text("max", encoding="ascii")
        self.start_daemon()
        eventually(lambda: (place / "memory.max").read_text(encoding="ascii") != "max\n")
        self.client.stop("devices/one")
        eventually(lambda: not place.exists())


if __name__ == "__main__":
    unittest.main()
