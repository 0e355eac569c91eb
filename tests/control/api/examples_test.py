"""The examples, against the real daemon. Lane P, with the real guest."""

import os
import subprocess
import sys
from pathlib import Path

from exec_test import Executions

EXAMPLES = Path(os.environ["ENSEMBLE_EXAMPLES"])


class Examples(Executions):
    def check(self, *command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False,
                              env={**os.environ, "ENSEMBLE_SOCKET": str(self.socket)})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count(": good\n"), 10, done.stdout)
        self.assertEqual(self.client.names(), ["one"])

    def test_python(self):
        self.check(sys.executable, "-B", str(EXAMPLES / "ten_watches.py"))

    def test_cpp(self):
        self.check(os.environ["ENSEMBLE_TEN_WATCHES"])
