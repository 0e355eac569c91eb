"""A real daemon under test, in a folder of its own, and clients of it."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

from ensemble.v1 import (console_pb2_grpc, device_pb2, devices_pb2, devices_pb2_grpc, errors_pb2,
                         exec_pb2_grpc, files_pb2_grpc, host_pb2_grpc, input_pb2_grpc, logs_pb2_grpc,
                         metrics_pb2_grpc, operations_pb2, operations_pb2_grpc, profiles_pb2_grpc)

DAEMON = os.environ["ENSEMBLED"]
GUESTS = os.environ["ENSEMBLE_TEST_GUESTS"]
BUILT = Path(DAEMON).parent.parent / "guest-kernel" / "nucleus.elf"
# With "libvirt", devices are domains of libvirt's on a QEMU that emulates the processor.
ON_QEMU = os.environ.get("ENSEMBLE_TEST_ENGINE") == "libvirt"
PATIENCE = 120 if ON_QEMU or os.environ.get("ENSEMBLE_LANE") == "s" else 30  # Emulators are slow.
QEMU = "/usr/bin/qemu-system-x86_64"
# As whom root runs libvirt.
ORDINARY = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]


def lack_of_qemu():
    """What this host lacks for QEMU by libvirt; None: nothing."""
    if not os.path.exists(QEMU):
        return "this host has no QEMU: the package qemu-system-x86"
    if not any(Path("/usr/lib").glob("*/libvirt/connection-driver/libvirt_driver_qemu.so")):
        return "this host has no driver of libvirt for QEMU: the package libvirt-daemon-driver-qemu"
    if "ENSEMBLE_GUEST_DIR" not in os.environ and not BUILT.exists():
        return "this build has no guest"
    if os.geteuid() != 0:
        return None
    probe = subprocess.run([*ORDINARY, "true"], capture_output=True, text=True, check=False)
    return probe.returncode != 0 and f"root needs a user namespace, which is forbidden here: {probe.stderr.strip()}"


def lack_of_kvm():
    """Likewise, for devices on KVM."""
    return None if os.access("/dev/kvm", os.R_OK | os.W_OK) else "/dev/kvm is missing or forbidden on this host"


LACK = lack_of_qemu() if ON_QEMU else lack_of_kvm()


def make_status_class():
    """google.rpc.Status, which Debian has no Python package for."""
    file = descriptor_pb2.FileDescriptorProto(name="status_for_tests.proto", package="google.rpc",
                                              syntax="proto3", dependency=["google/protobuf/any.proto"])
    message = file.message_type.add(name="Status")
    field = descriptor_pb2.FieldDescriptorProto
    message.field.add(name="code", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    message.field.add(name="message", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    message.field.add(name="details", number=3, type=field.TYPE_MESSAGE, label=field.LABEL_REPEATED,
                      type_name=".google.protobuf.Any")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName("google.rpc.Status"))


STATUS = make_status_class()


def detail_of(error):
    """The ErrorDetail of a call's error."""
    trailers = dict(error.trailing_metadata())
    status = STATUS.FromString(trailers["grpc-status-details-bin"])
    assert status.code == error.code().value[0] and status.message == error.details()
    return errors_pb2.ErrorDetail.FromString(status.details[0].value)


class Client:
    """A connection to the daemon, with all stubs."""

    def __init__(self, socket, *options, channel=None):
        self.channel = channel or grpc.insecure_channel(f"unix:{socket}", options=[
            ("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1), *options])
        self.devices = devices_pb2_grpc.DevicesStub(self.channel)
        self.operations = operations_pb2_grpc.OperationsStub(self.channel)
        self.console = console_pb2_grpc.ConsoleStub(self.channel)
        self.exec = exec_pb2_grpc.ExecStub(self.channel)
        self.files = files_pb2_grpc.FilesStub(self.channel)
        self.logs = logs_pb2_grpc.LogsStub(self.channel)
        self.metrics = metrics_pb2_grpc.MetricsStub(self.channel)
        self.profiles = profiles_pb2_grpc.ProfilesStub(self.channel)
        self.host = host_pb2_grpc.HostStub(self.channel)
        self.input = input_pb2_grpc.InputStub(self.channel)

    def create(self, name, kernel="loop", **fields):
        labels = fields.pop("labels", {})
        spec = device_pb2.DeviceSpec(**{"profile": "watch", "memory_bytes": 32 << 20, "processors": 1,
                                        "kernel": fields.pop("path", f"{GUESTS}/{kernel}.elf"), **fields})
        return self.devices.CreateDevice(devices_pb2.CreateDeviceRequest(
            device_id=name, device=device_pb2.Device(spec=spec, labels=labels)), timeout=PATIENCE)

    def get(self, name):
        return self.devices.GetDevice(devices_pb2.GetDeviceRequest(name=name), timeout=PATIENCE)

    def finish(self, operation):
        """Waits for an operation and returns it as it ended."""
        return self.operations.WaitOperation(operations_pb2.WaitOperationRequest(name=operation.name),
                                             timeout=PATIENCE)

    def start(self, name):
        operation = self.finish(self.devices.StartDevice(devices_pb2.StartDeviceRequest(name=name),
                                                         timeout=PATIENCE))
        assert not operation.HasField("error"), operation.error.message
        return self.get(name)

    def stop(self, name):
        operation = self.finish(self.devices.StopDevice(devices_pb2.StopDeviceRequest(name=name), timeout=PATIENCE))
        assert not operation.HasField("error"), operation.error.message
        return self.get(name)

    def delete(self, name, force=True):
        operation = self.finish(self.devices.DeleteDevice(
            devices_pb2.DeleteDeviceRequest(name=name, force=force), timeout=PATIENCE))
        assert not operation.HasField("error"), operation.error.message

    def running(self, name, **fields):
        self.create(name, **fields)
        return self.start(f"devices/{name}")

    def names(self, **fields):
        response = self.devices.ListDevices(devices_pb2.ListDevicesRequest(**fields), timeout=PATIENCE)
        return [device.name.removeprefix("devices/") for device in response.devices]

    def wait_for(self, name, state):
        """Waits until the device is in the state, and returns it."""
        return eventually(lambda: (device := self.get(name)).status.state == state and device)


def eventually(probe, patience=PATIENCE):
    """What `probe` returns once that is something."""
    deadline = time.monotonic() + patience
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise AssertionError("it did not come to be")
        time.sleep(0.01)
    return found


def is_alive(process_id):
    try:
        state = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@unittest.skipIf(LACK, LACK)
class DaemonTest(unittest.TestCase):
    """A test with a daemon, which begins without devices."""

    arguments = ()
    guests = Path(GUESTS)

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ensemble-api-"))
        self.socket = self.folder / "run" / "ensembled.sock"
        self.state = self.folder / "state"
        self.daemon = None
        self.clients = []
        self.addCleanup(self.clean_up)
        self.start_daemon()

    def clean_up(self):
        for client in self.clients:
            client.channel.close()
        if self.daemon and self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait()
        for socket in self.state.glob("devices/*"):
            self.kill_processes_of(socket)
        if self._outcome and any(error for _, error in getattr(self._outcome, "errors", [])):
            print((self.folder / "log").read_text(encoding="utf-8", errors="replace")[-3000:])
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def processes_of(folder):
        """The device processes whose folder is this."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"--serve={folder}".encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    def kill_processes_of(self, folder):
        for process_id in self.processes_of(folder):
            with contextlib.suppress(OSError):
                os.kill(process_id, signal.SIGKILL)

    def start_daemon(self, *arguments, guest="/nonexistent"):
        self.log = open(self.folder / "log", "ab")
        environment = {**os.environ, "ENSEMBLE_GUEST_DIR": guest}
        if guest is None:
            environment.pop("ENSEMBLE_GUEST_DIR")
        if ON_QEMU:
            environment["ENSEMBLE_KVM_DEVICE"] = "/nonexistent/kvm"
        self.daemon = subprocess.Popen([DAEMON, f"--socket={self.socket}", f"--state={self.state}",
                                        *self.arguments, *arguments], stdin=subprocess.DEVNULL,
                                       stdout=self.log, stderr=self.log, env=environment)
        self.log.close()
        self.client = self.connect()
        grpc.channel_ready_future(self.client.channel).result(timeout=PATIENCE)

    def connect(self, *options):
        client = Client(self.socket, *options)
        self.clients.append(client)
        return client

    def kill_daemon(self):
        self.daemon.kill()
        self.daemon.wait()

    def restart_daemon(self, *arguments, **options):
        self.kill_daemon()
        self.start_daemon(*arguments, **options)

    def refusal(self, *arguments, state=None, socket=None):
        """What a daemon says that does not start."""
        done = subprocess.run([DAEMON, f"--socket={socket or self.socket}",
                               f"--state={state or self.state}", *arguments],
                              capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 125, done.stderr)
        return done.stderr

    def hung_start(self, name):
        """A new device whose start hangs: its process, and the start's operation."""
        folder = self.state / "devices" / self.client.create(name).uid
        for _ in range(50):
            operation = self.client.devices.StartDevice(devices_pb2.StartDeviceRequest(name=f"devices/{name}"),
                                                        timeout=PATIENCE)
            while not (processes := self.processes_of(folder)):
                pass  # Forked, and about to become the device's program.
            process, = processes
            os.kill(process, signal.SIGSTOP)
            time.sleep(0.1)
            if self.client.get(f"devices/{name}").status.state == device_pb2.DEVICE_STATE_STARTING:
                return process, operation
            os.kill(process, signal.SIGCONT)  # It was quicker.
            self.client.stop(f"devices/{name}")
        self.fail("no start could be stopped")

    @contextlib.contextmanager
    def refused(self, code, *texts, reason=None, field=None):
        """Expects that a call fails with this code and a message that holds the texts."""
        with self.assertRaises(grpc.RpcError) as caught:
            yield
        error = caught.exception
        self.assertEqual(error.code(), code, error.details())
        for text in texts:
            self.assertIn(text, error.details())
        if reason or field:
            detail = detail_of(error)
            self.assertEqual(reason or detail.reason, detail.reason)
            self.assertEqual(field or detail.field, detail.field)
