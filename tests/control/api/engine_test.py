"""Devices on libvirt: QEMU emulates the processor, so that no KVM is needed."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import unittest.mock
from pathlib import Path

import grpc

os.environ["ENSEMBLE_TEST_ENGINE"] = "libvirt"  # Before the harness asks for it.
from ensemble.v1 import console_pb2, device_pb2, devices_pb2, exec_pb2, host_pb2, logs_pb2
from harness import BUILT, GUESTS, ORDINARY, PATIENCE, QEMU, DaemonTest, eventually, is_alive

RUNNING, PAUSED, STOPPED, FAILED = (device_pb2.DEVICE_STATE_RUNNING, device_pb2.DEVICE_STATE_PAUSED,
                                    device_pb2.DEVICE_STATE_STOPPED, device_pb2.DEVICE_STATE_FAILED)
PROGRAM = os.environ["ENSEMBLE"]
LONG = ["/bin/busybox", "sh", "-c", "echo ready; while read line; do echo got $line; done"]


def qemus(folder):
    """The numbers of the QEMU processes that run devices with their sockets in this folder."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            if words.startswith(QEMU.encode()) and os.fsencode(folder) in words and is_alive(entry.name):
                found.add(int(entry.name))
    return found


class EngineTest(DaemonTest):
    uri = ""

    def setUp(self):
        # Short, since the paths of sockets are. It tells this test's QEMUs from others.
        self.sockets = tempfile.mkdtemp(prefix="eq-")
        self.addCleanup(shutil.rmtree, self.sockets, ignore_errors=True)
        super().setUp()

    def start_daemon(self, *arguments, **options):
        with unittest.mock.patch.dict(os.environ, {"XDG_RUNTIME_DIR": self.sockets}):
            super().start_daemon(*arguments, guest=os.environ.get("ENSEMBLE_GUEST_DIR"))

    def qemus(self):
        return qemus(self.sockets)

    def create(self, name, command, **fields):
        spec = {"profile": "watch", "engine": device_pb2.ENGINE_LIBVIRT, "libvirt_uri": self.uri, "command": command,
                **fields}
        return self.client.devices.CreateDevice(devices_pb2.CreateDeviceRequest(
            device_id=name, device=device_pb2.Device(spec=device_pb2.DeviceSpec(**spec))), timeout=PATIENCE)

    def running(self, name, command=LONG, **fields):
        self.create(name, command, **fields)
        return self.client.start(f"devices/{name}")

    def printed(self, name):
        chunks = self.client.logs.ReadLogs(logs_pb2.ReadLogsRequest(name=f"devices/{name}"), timeout=PATIENCE)
        return b"".join(chunk.data for chunk in chunks)

    def call(self, verb, name):
        stub = getattr(self.client.devices, f"{verb}Device")
        return stub(getattr(devices_pb2, f"{verb}DeviceRequest")(name=f"devices/{name}"), timeout=PATIENCE)


class OnLibvirt(EngineTest):
    def test_a_device_runs_pauses_resets_and_stops(self):
        device = self.running("one")
        self.assertEqual(device.status.state, RUNNING)
        self.assertEqual(device.status.engine, device_pb2.ENGINE_LIBVIRT)
        self.assertIn("console-size", device.status.unavailable)
        eventually(lambda: b"ready" in self.printed("one"))
        self.assertEqual(len(self.qemus()), 1)
        self.assertEqual(self.call("Pause", "one").status.state, PAUSED)
        self.assertEqual(self.call("Resume", "one").status.state, RUNNING)
        self.assertEqual(self.call("Reset", "one").status.state, RUNNING)
        eventually(lambda: self.printed("one").count(b"ready") == 2)
        stopped = self.client.stop("devices/one")
        self.assertEqual(stopped.status.state, STOPPED)
        self.assertIn("by a call", stopped.status.state_reason)
        self.assertFalse(is_alive(device.status.process_id))
        self.assertEqual(self.qemus(), set())
        self.assertEqual(self.client.start("devices/one").status.state, RUNNING)
        self.client.delete("devices/one")
        eventually(lambda: not self.qemus())  # The kernel ends it with its parent, a little later.

    def run_in(self, name, *command):
        """The exit code and the output of a program in the device."""
        begin = exec_pb2.RunRequest.Begin(name=f"devices/{name}", command=command)
        code, output = None, b""
        for answer in self.client.exec.Run(iter([exec_pb2.RunRequest(begin=begin)]), timeout=PATIENCE):
            output += answer.standard_output
            code = answer.ended.exit_code if answer.HasField("ended") else code
        return code, output

    def test_the_agent_serves_one_daemon_after_the_other_and_each_machine(self):
        self.running("one")
        self.assertEqual(self.run_in("one", "echo", "first"), (0, b"first\n"))
        self.restart_daemon()
        self.assertEqual(self.run_in("one", "echo", "second"), (0, b"second\n"))
        self.call("Reset", "one")

        def third():
            with contextlib.suppress(grpc.RpcError):  # UNAVAILABLE where it was still the one before.
                return self.run_in("one", "echo", "third")

        self.assertEqual(eventually(third), (0, b"third\n"))

    def test_a_paused_device_does_nothing(self):
        self.running("one", ["/bin/busybox", "sh", "-c", "while :; do echo x; sleep 0.05; done"])
        eventually(lambda: self.printed("one"))
        self.call("Pause", "one")
        time.sleep(0.3)
        length = len(self.printed("one"))
        time.sleep(0.7)
        self.assertEqual(len(self.printed("one")), length)
        self.call("Resume", "one")
        eventually(lambda: len(self.printed("one")) > length)

    def test_a_command_ends_with_its_code(self):
        self.create("one", ["/bin/busybox", "sh", "-c", "echo bye; exit 7"])
        self.client.devices.StartDevice(devices_pb2.StartDeviceRequest(name="devices/one"), timeout=PATIENCE)
        status = self.client.wait_for("devices/one", STOPPED).status
        self.assertEqual(status.exit_code, 7)
        self.assertIn(b"bye", self.printed("one"))

    def test_a_triple_fault_fails_the_device(self):
        self.create("one", [], kernel=f"{GUESTS}/triple_fault.elf")
        self.client.devices.StartDevice(devices_pb2.StartDeviceRequest(name="devices/one"), timeout=PATIENCE)
        self.assertIn("triple fault", self.client.wait_for("devices/one", FAILED).status.state_reason)
        eventually(lambda: not self.qemus())

    def test_a_host_without_kvm_chooses_it(self):
        device = self.running("one", engine=device_pb2.ENGINE_UNSPECIFIED)
        self.assertEqual(device.status.engine, device_pb2.ENGINE_LIBVIRT)
        log = (self.folder / "log").read_text(encoding="utf-8")
        self.assertEqual(log.count("KVM cannot be used"), 1, log)
        engines = {each.engine: each for each in self.client.host.GetHost(host_pb2.GetHostRequest(),
                                                                          timeout=PATIENCE).engines}
        self.assertFalse(engines[device_pb2.ENGINE_ENSEMBLE].usable)
        self.assertTrue(engines[device_pb2.ENGINE_LIBVIRT].usable)

    def test_the_console_goes_both_ways(self):
        self.running("one")
        eventually(lambda: b"ready" in self.printed("one"))

        def typed():
            yield console_pb2.AttachRequest(begin=console_pb2.AttachRequest.Begin(name="devices/one"))
            yield console_pb2.AttachRequest(input=b"hello\n")
            time.sleep(PATIENCE)

        call = self.client.console.Attach(typed(), timeout=PATIENCE)
        seen = b""
        for answer in call:
            seen += answer.output
            if b"got hello" in seen:
                break
        call.cancel()
        self.assertIn(b"got hello", seen)

    def test_qemu_that_dies_fails_its_device_with_its_last_words(self):
        self.running("one")
        process, = self.qemus()
        os.kill(process, signal.SIGKILL)
        status = self.client.wait_for("devices/one", FAILED).status
        self.assertIn("QEMU ended unexpectedly", status.state_reason)
        self.assertIn("QEMU:", "".join(status.last_log_lines))
        self.assertEqual(self.client.start("devices/one").status.state, RUNNING)

    def test_a_killed_process_takes_its_qemu_along(self):
        device = self.running("one")
        os.kill(device.status.process_id, signal.SIGKILL)
        self.assertIn("killed by signal 9", self.client.wait_for("devices/one", FAILED).status.state_reason)
        eventually(lambda: not self.qemus())

    def test_a_process_that_is_killed_during_its_start_leaves_no_qemu(self):
        folder = self.state / "devices" / self.create("one", LONG).uid
        for delay in (0.2, 0.5, 1):
            self.client.devices.StartDevice(devices_pb2.StartDeviceRequest(name="devices/one"), timeout=PATIENCE)
            process, = eventually(lambda: self.processes_of(folder))
            time.sleep(delay)
            os.kill(process, signal.SIGKILL)
            self.client.wait_for("devices/one", FAILED)
            eventually(lambda: not self.qemus() and not list(Path(self.sockets).glob("ensemble-qemu-*")))

    def test_a_restarted_daemon_finds_its_devices(self):
        device = self.running("one")
        eventually(lambda: b"ready" in self.printed("one"))
        self.restart_daemon()
        again = self.client.get("devices/one")
        self.assertEqual((again.status.state, again.status.process_id), (RUNNING, device.status.process_id))
        self.assertEqual(self.call("Pause", "one").status.state, PAUSED)
        self.assertEqual(self.client.stop("devices/one").status.state, STOPPED)

    def test_a_uri_without_the_engine_is_refused(self):
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, "qemu:///session", field="device.spec.libvirt_uri"):
            self.create("one", LONG, engine=device_pb2.ENGINE_ENSEMBLE, libvirt_uri="qemu:///session")

    def test_a_connection_to_another_host_is_refused(self):
        for uri in ("qemu+ssh://host/system", "qemu+tcp:///system", "test:///default", "x"):
            with self.refused(grpc.StatusCode.INVALID_ARGUMENT, uri, "this host's QEMU", field="device.spec.libvirt_uri"):
                self.create("one", LONG, libvirt_uri=uri)

    def test_a_connection_that_cannot_be_had_fails_the_start(self):
        self.create("one", LONG, libvirt_uri="qemu+unix:///session?socket=/nonexistent/socket")
        operation = self.client.finish(self.client.devices.StartDevice(
            devices_pb2.StartDeviceRequest(name="devices/one"), timeout=PATIENCE))
        self.assertIn("cannot connect to libvirt", operation.error.message)
        self.assertEqual(self.client.get("devices/one").status.state, FAILED)


class OnLibvirtsDaemon(EngineTest):
    """A libvirtd of this test's own, as an ordinary user's."""

    def setUp(self):
        if not (os.path.exists("/usr/sbin/libvirtd") and os.path.exists("/usr/bin/virsh")):
            self.skipTest("this host has no libvirtd or no virsh: the packages libvirt-daemon and libvirt-clients")
        super().setUp()
        runtime = self.folder / "r"
        runtime.mkdir()
        self.uri = f"qemu+unix:///session?socket={runtime}/libvirt/libvirt-sock"
        # As root, libvirtd would be the system's.
        ordinary = ORDINARY if os.geteuid() == 0 else []
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "XDG_CACHE_HOME": str(self.folder / "c"),
                       "XDG_CONFIG_HOME": str(self.folder / "g")}
        with open(self.folder / "libvirtd.log", "wb") as log:
            self.libvirtd = subprocess.Popen([*ordinary, "/usr/sbin/libvirtd"], env=environment,
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.end_libvirtd)
        eventually((runtime / "libvirt" / "libvirt-sock").exists)

    def end_libvirtd(self):
        self.libvirtd.terminate()
        self.libvirtd.wait(timeout=PATIENCE)

    def domains(self):
        done = subprocess.run(["virsh", "-c", self.uri, "list", "--name"], capture_output=True, text=True,
                              timeout=PATIENCE, check=True)
        return done.stdout.split()

    def test_it_describes_the_host(self):
        self.kill_daemon()
        self.sockets = str(self.folder / "r")
        self.start_daemon()
        # A libvirtd that has just been started looks for QEMUs first.
        host = eventually(lambda: (told := self.client.host.GetHost(host_pb2.GetHostRequest(), timeout=PATIENCE))
                          and told.topology.source == host_pb2.HostTopology.SOURCE_LIBVIRT and told)
        done = subprocess.run(["virsh", "-c", self.uri, "nodeinfo"], capture_output=True, text=True,
                              timeout=PATIENCE, check=True)
        told = {line.split(":")[0]: line.split(":")[1].split()[0] for line in done.stdout.splitlines() if ":" in line}
        self.assertEqual(host.topology.sockets,
                         int(told["CPU socket(s)"]) * int(told["NUMA cell(s)"]))
        self.assertEqual(host.topology.cores_per_socket, int(told["Core(s) per socket"]))
        self.assertEqual(host.topology.threads_per_core, int(told["Thread(s) per core"]))
        self.assertEqual(host.memory_bytes, int(told["Memory size"]) << 10)
        # One that answers no more is given up.
        self.libvirtd.send_signal(signal.SIGSTOP)
        self.addCleanup(self.libvirtd.send_signal, signal.SIGCONT)
        host = self.client.host.GetHost(host_pb2.GetHostRequest(), timeout=PATIENCE)
        self.libvirtd.send_signal(signal.SIGCONT)
        self.assertEqual(host.topology.source, host_pb2.HostTopology.SOURCE_SYSTEM)
        self.assertGreater(host.topology.sockets, 0)

    def test_a_device_is_a_domain_there(self):
        self.running("one")
        eventually(lambda: b"ready" in self.printed("one"))
        domain, = self.domains()
        self.assertTrue(domain.startswith("ensemble-"))
        self.assertEqual(self.call("Pause", "one").status.state, PAUSED)
        self.assertEqual(self.call("Resume", "one").status.state, RUNNING)
        self.assertEqual(self.client.stop("devices/one").status.state, STOPPED)
        self.assertEqual(self.domains(), [])

    def test_a_domain_that_somebody_destroys_is_a_failed_device(self):
        self.running("one")
        domain, = self.domains()
        subprocess.run(["virsh", "-c", self.uri, "destroy", domain], capture_output=True, timeout=PATIENCE, check=True)
        self.assertIn("destroyed by somebody else", self.client.wait_for("devices/one", FAILED).status.state_reason)

    def test_a_killed_process_leaves_no_domain(self):
        device = self.running("one")
        os.kill(device.status.process_id, signal.SIGKILL)
        self.client.wait_for("devices/one", FAILED)
        eventually(lambda: not self.domains())

    def test_an_exported_device_runs_there(self):
        self.create("lab", LONG, engine=device_pb2.ENGINE_UNSPECIFIED, libvirt_uri="")
        environment = {**os.environ, "ENSEMBLE_SOCKET": str(self.socket)}
        done = subprocess.run([PROGRAM, "export", "lab"], cwd=self.folder, env=environment, capture_output=True,
                              text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"'{self.folder}/lab.initrd', which was written", done.stderr)
        (self.folder / "lab.xml").write_text(done.stdout, encoding="utf-8")
        subprocess.run(["virsh", "-c", self.uri, "create", self.folder / "lab.xml"], capture_output=True,
                       timeout=PATIENCE, check=True)
        self.assertEqual(self.domains(), ["lab"])
        subprocess.run(["virsh", "-c", self.uri, "destroy", "lab"], capture_output=True, timeout=PATIENCE, check=True)

    def test_a_name_that_is_nothing_is_not_exported(self):
        done = subprocess.run([PROGRAM, "export", "nothing"], cwd=self.folder, capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 125)
        self.assertIn("nothing", done.stderr)
        self.assertEqual(list(self.folder.glob("*.initrd")), [])

    def export(self, *arguments):
        return subprocess.run([PROGRAM, "export", *arguments], cwd=self.folder, capture_output=True, text=True,
                              timeout=PATIENCE, check=False, env={**os.environ, "ENSEMBLE_SOCKET": str(self.socket)})

    def test_a_failed_export_leaves_what_is_there(self):
        (self.folder / "old.initrd").write_bytes(b"old")
        os.mkfifo(self.folder / "pipe")
        guest = Path(os.environ.get("ENSEMBLE_GUEST_DIR", BUILT.parent))
        (self.folder / "root").write_bytes((guest / "rootfs.cpio").read_bytes() + bytes(20 << 20))
        self.create("tiny", LONG, memory_bytes=32 << 20, root_file_system=str(self.folder / "root"))
        done = self.export("tiny", "--initrd", "old.initrd")
        self.assertEqual(done.returncode, 125)
        self.assertIn("it needs at least", done.stderr)
        self.assertEqual((self.folder / "old.initrd").read_bytes(), b"old")
        done = self.export("profiles/watch", "--initrd", "pipe")
        self.assertEqual(done.returncode, 125)
        self.assertIn("not a regular file", done.stderr)
        self.assertTrue((self.folder / "pipe").is_fifo())
        self.assertEqual(list(self.folder.glob("*.part")), [])

    def test_what_a_daemon_does_not_say_is_not_guessed(self):
        self.kill_daemon()
        done = self.export("watch")
        self.assertEqual(done.returncode, 125)
        self.assertIn("'profiles/watch' is the profile", done.stderr)

    def test_a_lost_libvirtd_fails_the_device(self):
        self.running("one")
        self.libvirtd.kill()
        self.assertIn("connection to libvirt was lost", self.client.wait_for("devices/one", FAILED).status.state_reason)
        eventually(lambda: not self.qemus())


