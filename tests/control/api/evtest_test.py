"""What a hand does to a device, as Debian's unmodified evtest tells it. Lane P, with the real guest."""

import fcntl
import os
import re
import subprocess
from pathlib import Path

from exec_test import Run
from harness import PATIENCE, DaemonTest, eventually

PROGRAM = os.environ["ENSEMBLE"]
ROOT = Path(os.environ["ENSEMBLE_EVTEST_ROOT"])
ROOTFS = Path(__file__).resolve().parents[3] / "scripts" / "rootfs"
SIDE = 0x244
EVENT = re.compile(r"type (\d+) \(\w+\), code (\d+) \(\w+\), value (-?\d+)")


def make_root():
    """The root file system with evtest, made once: None, or why there can be none."""
    with open(f"{ROOT}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ROOT.exists():
            return None
        made = subprocess.run([ROOTFS, "-o", ROOT, "coreutils", "evtest"], capture_output=True, text=True, timeout=240,
                              check=False)
        if "cannot download" in made.stderr:
            return f"Debian's packages are out of reach: {made.stderr}"
        assert made.returncode == 0, made.stderr
        return None


class Evtest(DaemonTest):
    def start_daemon(self, *arguments, **_):
        super().start_daemon(*arguments, guest=None)

    def setUp(self):
        reason = make_root()
        if reason:
            self.skipTest(reason)
        super().setUp()
        self.client.running("one", path="", memory_bytes=128 << 20, root_file_system=str(ROOT),
                            command=["/usr/bin/sleep", "infinity"])

    def evtest(self, number):
        """evtest on an input device, which is looking."""
        run = Run(self.client, "/usr/bin/stdbuf", "-o0", "/usr/bin/evtest", f"/dev/input/event{number}")
        eventually(lambda: b"Testing ..." in run.out)
        return run

    def send(self, *arguments):
        done = subprocess.run([PROGRAM, "input", "one", *arguments], capture_output=True, text=True, timeout=PATIENCE,
                              env={**os.environ, "ENSEMBLE_SOCKET": str(self.socket)}, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def events(self, run):
        return [tuple(map(int, match.groups())) for match in EVENT.finditer(run.out.decode())]

    def test_tells_keys(self):
        run = self.evtest(0)
        self.send("key", "side", "--milliseconds", "1")
        eventually(lambda: run.out.count(b"SYN_REPORT") == 2)
        self.assertEqual(self.events(run), [(1, SIDE, 1), (1, SIDE, 0)])

    def test_tells_touches(self):
        run = self.evtest(1)
        self.send("tap", "40", "449")
        eventually(lambda: run.out.count(b"SYN_REPORT") == 2)
        told = self.events(run)
        for event in ((3, 53, 40), (3, 54, 449), (3, 0, 40), (3, 1, 449), (1, 0x14A, 1), (3, 57, -1), (1, 0x14A, 0)):
            self.assertIn(event, told)

    def test_tells_the_crown(self):
        run = self.evtest(2)
        self.send("rotate", "-3")
        eventually(lambda: b"SYN_REPORT" in run.out)
        self.assertEqual(self.events(run), [(2, 8, -3), (2, 11, -360)])
