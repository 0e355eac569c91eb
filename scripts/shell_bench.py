"""Measures the shell that a device without a command gives, on a terminal of its own."""

import json
import os
import pty
import select
import signal
import statistics
import tempfile
import time
from pathlib import Path

PROMPT = b"# "
LIMIT_SECONDS = 60


class ShellBenchError(Exception):
    """A run that did not come to its prompt; the message is for people."""


def read_until(terminal, text, deadline):
    screen = b""
    while text not in screen:
        if not select.select([terminal], [], [], max(0, deadline - time.perf_counter()))[0]:
            raise ShellBenchError(f"there is no prompt on the screen: {screen.decode(errors='replace')}")
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            piece = b""
        if not piece:
            raise ShellBenchError(f"the device ended by itself: {screen.decode(errors='replace')}")
        screen += piece
    return screen


def start(ensemble, profile, report):
    """One device: (milliseconds from its start to its prompt, its report)."""
    begin = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(ensemble, [str(ensemble), "run", profile, "--report", str(report)])
    try:
        read_until(terminal, PROMPT, begin + LIMIT_SECONDS)
        elapsed = time.perf_counter() - begin
        os.write(terminal, b"exit\r")
        deadline = time.perf_counter() + LIMIT_SECONDS
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.perf_counter() > deadline:
                raise ShellBenchError("the device does not end after its shell")
            if select.select([terminal], [], [], 0.01)[0]:
                try:
                    os.read(terminal, 4096)
                except OSError:
                    time.sleep(0.01)
        pid = 0
    finally:
        if pid != 0:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(terminal)
    return elapsed * 1000, json.loads(report.read_text(encoding="utf-8"))


def measure(ensemble, runs, profile="watch"):
    """Milliseconds to the prompt, and the memory that an idle shell has touched."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        done = [start(ensemble, profile, Path(folder, "report.json")) for _ in range(runs)]
    times = sorted(milliseconds for milliseconds, _ in done)
    return {"profile": profile, "runs": runs,
            "milliseconds_to_prompt": {"median": round(statistics.median(times), 1), "minimum": round(times[0], 1)},
            "guest_touched_kib": max(report["memory"]["guest_touched_kib"] for _, report in done)}
