"""Measures the daemon with fifty watches, and commands and copies in one phone."""

import contextlib
import hashlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DEVICES = 50
CALLS = 1000
COMMANDS = 50
COPIED_MIB = 256
PATIENCE = 120


class ControlBenchError(Exception):
    """What kept a measurement from being made; the message is for people."""


def spread(seconds):
    """Percentiles of times, in milliseconds."""
    values = sorted(1000 * each for each in seconds)
    return {"p50": round(statistics.median(values), 3), "p99": round(values[int(0.99 * (len(values) - 1))], 3),
            "minimum": round(values[0], 3), "runs": len(values)}


def timed(action):
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def resident_kib(process):
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ControlBenchError(f"process {process} has no resident memory")


class Lab:
    """A daemon of its own, the command line, and a client that keeps its connection."""

    def __init__(self, build, folder):
        self.program = str(build / "bin" / "ensemble")
        socket = Path(folder, "ensembled.sock")
        self.environment = {**os.environ, "ENSEMBLE_SOCKET": str(socket)}
        self.log = Path(folder, "log")
        with self.log.open("wb") as log:
            self.daemon = subprocess.Popen(
                [build / "bin" / "ensembled", "--socket", socket, "--state", Path(folder, "state")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while not socket.exists():
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise ControlBenchError(f"the daemon does not start: {self.log.read_text(errors='replace')[-500:]}")
            time.sleep(0.01)
        self.connect(build, socket)

    def connect(self, build, socket):
        sys.path.insert(0, str(build / "tests" / "control" / "api" / "generated"))
        # Found only once the build has made them.
        import grpc  # pylint: disable=import-outside-toplevel
        from ensemble.v1 import device_pb2, devices_pb2, devices_pb2_grpc  # pylint: disable=import-outside-toplevel
        from ensemble.v1 import operations_pb2, operations_pb2_grpc  # pylint: disable=import-outside-toplevel
        channel = grpc.insecure_channel(f"unix:{socket}")
        self.messages, self.device_messages, self.operation_messages = devices_pb2, device_pb2, operations_pb2
        self.devices = devices_pb2_grpc.DevicesStub(channel)
        self.operations = operations_pb2_grpc.OperationsStub(channel)

    def run(self, *arguments):
        done = subprocess.run([self.program, *arguments], env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=PATIENCE, check=False)
        if done.returncode:
            raise ControlBenchError(f"'ensemble {' '.join(arguments)}': {done.stderr.strip()[-500:]}")
        return done.stdout

    def create_and_start(self):
        device = self.devices.CreateDevice(self.messages.CreateDeviceRequest(device=self.device_messages.Device(
            spec=self.device_messages.DeviceSpec(profile="watch"))), timeout=PATIENCE)
        started = self.devices.StartDevice(self.messages.StartDeviceRequest(name=device.name), timeout=PATIENCE)
        done = self.operations.WaitOperation(self.operation_messages.WaitOperationRequest(name=started.name),
                                             timeout=PATIENCE)
        if done.HasField("error"):
            raise ControlBenchError(done.error.message)

    def running(self):
        listed = self.devices.ListDevices(self.messages.ListDevicesRequest(page_size=2 * DEVICES), timeout=PATIENCE)
        return [device.name for device in listed.devices
                if device.status.state == self.device_messages.DEVICE_STATE_RUNNING]

    def remove_all(self):
        names = [name.removeprefix("devices/") for name in self.running()]
        if names:
            self.run("rm", "-f", *names)

    def end(self):
        with contextlib.suppress(ControlBenchError, subprocess.TimeoutExpired):
            self.remove_all()
        self.daemon.send_signal(signal.SIGTERM)
        try:
            self.daemon.wait(30)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()


def measure_many(lab):
    """Fifty devices: by one command, then one after the other; and calls beside them."""
    empty = resident_kib(lab.daemon.pid)
    together = timed(lambda: lab.run("up", "watch", "--count", str(DEVICES)))
    count = len(lab.running())
    if count != DEVICES:
        raise ControlBenchError(f"{count} of {DEVICES} devices run")
    name = lab.running()[0]
    request = lab.messages.GetDeviceRequest(name=name)
    lab.devices.GetDevice(request, timeout=PATIENCE)
    calls = [timed(lambda: lab.devices.GetDevice(request, timeout=PATIENCE)) for _ in range(CALLS)]
    result = {"devices": count, "up_seconds": round(together, 2), "starts_per_second": round(count / together, 1),
              "daemon_rss_kib": resident_kib(lab.daemon.pid), "daemon_rss_kib_without_devices": empty,
              "unary_call_milliseconds": spread(calls)}
    lab.remove_all()
    result["create_and_start_milliseconds"] = spread([timed(lab.create_and_start) for _ in range(DEVICES)])
    lab.remove_all()
    return result


def measure_one(lab, folder):
    """Commands in a phone, and a file into it and back."""
    lab.run("up", "phone", "--name", "one", "--memory", "2G")
    lab.run("exec", "one", "--", "/bin/true")
    commands = [timed(lambda: lab.run("exec", "one", "--", "/bin/true")) for _ in range(COMMANDS)]
    file = Path(folder, "file")
    file.write_bytes(os.urandom(1 << 20) * COPIED_MIB)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    megabytes = file.stat().st_size / 1e6
    pushes, pulls = [], []
    for _ in range(3):
        pushes.append(megabytes / timed(lambda: lab.run("push", str(file), "one:/tmp/file")))
        back = Path(folder, "back")
        pulls.append(megabytes / timed(lambda: lab.run("pull", "one:/tmp/file", str(back))))
        if hashlib.sha256(back.read_bytes()).hexdigest() != digest:
            raise ControlBenchError("a file came back other than it went")
    return {"exec_true_milliseconds": spread(commands), "copied_mib": COPIED_MIB,
            "push_megabytes_per_second": [round(each, 1) for each in pushes],
            "pull_megabytes_per_second": [round(each, 1) for each in pulls]}


def measure(build):
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        lab = Lab(build, folder)
        try:
            return {**measure_many(lab), **measure_one(lab, folder)}
        finally:
            lab.end()
