"""The Debian packages, built from build/release, and an installation unpacked from them."""

import contextlib
import functools
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
PATIENCE = 120


def run(*command, code=0, **options):
    """Runs a command that has to end with `code`; returns what it printed to standard output."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False,
                          timeout=options.pop("timeout", PATIENCE), **options)
    if done.returncode != code:
        raise AssertionError(f"{command} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@functools.cache
def packages():
    """{name: path} of the packages, made anew."""
    paths = run(SOURCE / "scripts" / "package", timeout=3600).split()
    return {Path(path).name.split("_")[0]: Path(path) for path in paths}


@functools.cache
def unpacked():
    """A folder with all packages unpacked into it; it lasts as long as the tests."""
    folder = tempfile.TemporaryDirectory(prefix="ensemble-package-")
    unpacked.folder = folder  # Keeps it alive.
    for path in packages().values():
        run("dpkg-deb", "--extract", path, folder.name)
    return Path(folder.name)


def environment(**more):
    """One in which nothing points to the build tree."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ENSEMBLE_")}
    return {**kept, **more}


def ensemble(*arguments, code=0, **more):
    return run(unpacked() / "usr/bin/ensemble", *arguments, code=code, env=environment(**more), cwd="/")


@contextlib.contextmanager
def daemon():
    """A daemon of the installation, started as systemd starts it: with its socket already listening. Gives
    the environment of its clients. It has to end well."""
    with tempfile.TemporaryDirectory(prefix="ensemble-package-") as folder:
        at = {"ENSEMBLE_SOCKET": f"{folder}/run/ensembled.sock"}
        Path(folder, "run").mkdir(mode=0o700)
        process = subprocess.Popen(
            ["systemd-socket-activate", f"--listen={at['ENSEMBLE_SOCKET']}", unpacked() / "usr/bin/ensembled",
             "--state", f"{folder}/state"], cwd="/", env=environment(**at), stderr=subprocess.PIPE, text=True)
        try:
            limit = time.monotonic() + PATIENCE
            while not Path(at["ENSEMBLE_SOCKET"]).exists() and process.poll() is None:
                if time.monotonic() > limit:
                    raise AssertionError("nothing listens")
                time.sleep(0.05)
            yield at
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=PATIENCE)
        if process.returncode != 0:
            raise AssertionError(f"the daemon ended with {process.returncode}: {errors}")
