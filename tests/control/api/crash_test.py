"""Daemons that are killed, and what the next one finds."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import grpc

from ensemble.v1 import device_pb2, devices_pb2, operations_pb2
from harness import DAEMON, PATIENCE, DaemonTest, eventually, is_alive

RUNNING, PAUSED, STOPPED, FAILED = (device_pb2.DEVICE_STATE_RUNNING, device_pb2.DEVICE_STATE_PAUSED,
                                    device_pb2.DEVICE_STATE_STOPPED, device_pb2.DEVICE_STATE_FAILED)


class Kills(DaemonTest):
    def test_devices_do_not_notice_that_the_daemon_was_killed(self):
        running = self.client.running("one", labels={"a": "b"})
        self.client.running("two")
        self.client.devices.PauseDevice(devices_pb2.PauseDeviceRequest(name="devices/two"), timeout=PATIENCE)
        self.client.create("three")
        self.restart_daemon()
        self.assertEqual(self.client.names(), ["one", "two", "three"])
        found = self.client.wait_for("devices/one", RUNNING)
        self.assertEqual(found.status.process_id, running.status.process_id)
        self.assertEqual(dict(found.labels), {"a": "b"})
        self.client.wait_for("devices/two", PAUSED)
        self.client.devices.ResumeDevice(devices_pb2.ResumeDeviceRequest(name="devices/two"), timeout=PATIENCE)
        self.client.stop("devices/one")
        self.assertFalse(is_alive(running.status.process_id))

    def test_a_device_that_ended_meanwhile_is_known_to_have(self):
        killed = self.client.running("killed")
        self.kill_daemon()
        os.kill(killed.status.process_id, signal.SIGKILL)
        eventually(lambda: not is_alive(killed.status.process_id))
        self.start_daemon()
        failed = self.client.wait_for("devices/killed", FAILED)
        self.assertIn("while the daemon was away", failed.status.state_reason)
        self.client.start("devices/killed")

    def test_an_adopted_process_that_is_killed_fails_its_device(self):
        process = self.client.running("one").status.process_id
        self.restart_daemon()
        self.client.wait_for("devices/one", RUNNING)
        os.kill(process, signal.SIGKILL)
        self.client.wait_for("devices/one", FAILED)

    def test_a_restart_policy_outlives_the_daemon(self):
        restart = device_pb2.Restart(policy=device_pb2.RESTART_POLICY_ON_FAILURE)
        device = self.client.running("one", restart=restart)
        self.kill_daemon()
        os.kill(device.status.process_id, signal.SIGKILL)
        self.start_daemon()
        eventually(lambda: (status := self.client.get("devices/one").status).state == RUNNING
                   and status.process_id != device.status.process_id)

    def test_starts_are_whole_or_not_at_all_when_the_daemon_is_killed(self):
        for round_number in range(8):
            device = self.client.create(f"d{round_number}")
            call = self.client.devices.StartDevice.future(devices_pb2.StartDeviceRequest(name=device.name),
                                                          timeout=PATIENCE)
            threading.Event().wait(0.003 * round_number)
            self.restart_daemon()
            call.cancel()
        for round_number in range(8):
            device = eventually(lambda n=round_number: (d := self.client.get(f"devices/d{n}")).status.state
                                not in (device_pb2.DEVICE_STATE_STARTING, device_pb2.DEVICE_STATE_STOPPING) and d)
            processes = self.processes_of(self.state / "devices" / device.uid)
            if device.status.state == RUNNING:
                self.assertEqual(processes, [device.status.process_id])
            else:
                eventually(lambda d=device: not self.processes_of(self.state / "devices" / d.uid))
            self.client.delete(device.name)
        self.assertEqual(list((self.state / "devices").iterdir()), [])

    def test_operations_outlive_the_daemon(self):
        self.client.create("one")
        operation = self.client.finish(self.client.devices.StartDevice(
            devices_pb2.StartDeviceRequest(name="devices/one"), timeout=PATIENCE))
        self.restart_daemon()
        self.assertEqual(self.client.operations.GetOperation(
            operations_pb2.GetOperationRequest(name=operation.name), timeout=PATIENCE), operation)

    def test_folders_without_a_device_are_stopped_and_removed(self):
        device = self.client.running("one")
        strange = self.state / "devices" / "strange"
        strange.mkdir()
        self.kill_daemon()
        with sqlite3.connect(self.state / "state.db") as database:
            database.execute("DELETE FROM device")
        database.close()
        self.start_daemon()
        eventually(lambda: not is_alive(device.status.process_id))
        eventually(lambda: not (self.state / "devices" / device.uid).exists())
        eventually(lambda: self.client.names() == [])
        self.assertTrue(strange.exists())

    def test_devices_outlive_the_loss_of_the_state_file(self):
        device = self.client.running("one")
        self.kill_daemon()
        (self.state / "state.db").rename(self.folder / "away")
        (self.state / "state.db-wal").rename(self.folder / "away-wal")
        text = self.refusal()
        self.assertIn(str(self.state / "state.db"), text)
        self.assertIn("restore the file", text)
        self.assertTrue(is_alive(device.status.process_id))
        (self.folder / "away").rename(self.state / "state.db")
        (self.folder / "away-wal").rename(self.state / "state.db-wal")
        self.start_daemon()
        self.client.wait_for("devices/one", RUNNING)

    def test_a_deletion_goes_on_in_the_next_daemon(self):
        for round_number in range(4):
            device = self.client.running(f"d{round_number}")
            call = self.client.devices.DeleteDevice.future(
                devices_pb2.DeleteDeviceRequest(name=device.name, force=True), timeout=PATIENCE)
            threading.Event().wait(0.002 * round_number)
            self.restart_daemon()
            call.cancel()
            try:
                if self.client.get(device.name).status.state == RUNNING:
                    self.client.delete(device.name)
            except grpc.RpcError as error:
                self.assertEqual(error.code(), grpc.StatusCode.NOT_FOUND)
            eventually(lambda: self.client.names() == [])
            eventually(lambda d=device: not is_alive(d.status.process_id))
        self.assertEqual(list((self.state / "devices").iterdir()), [])


class Ends(DaemonTest):
    def test_a_daemon_that_is_told_to_end_leaves_its_devices(self):
        device = self.client.running("one")
        events = self.client.devices.WatchDevices(devices_pb2.WatchDevicesRequest(), timeout=PATIENCE)
        next(events)
        self.daemon.send_signal(signal.SIGTERM)
        with self.refused(grpc.StatusCode.UNAVAILABLE, "devices go on"):
            list(events)
        self.assertEqual(self.daemon.wait(PATIENCE), 0)
        self.assertTrue(is_alive(device.status.process_id))
        self.start_daemon()
        self.assertEqual(self.client.wait_for("devices/one", RUNNING).status.process_id, device.status.process_id)

    def test_a_second_daemon_is_refused(self):
        self.assertIn("in use by another daemon", self.refusal())
        self.assertIn("serves", self.refusal(state=self.folder / "other"))
        self.client.create("one")

    def test_a_damaged_state_file_is_told(self):
        for number in range(100):
            self.client.create(f"d{number}", labels={"filler": "x" * 60})
        self.kill_daemon()
        database = self.state / "state.db"
        connection = sqlite3.connect(database)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        good = self.folder / "good.db"
        shutil.copy(database, good)
        with open(database, "r+b") as file:
            for page in range(1, 12):
                file.seek(page * 4096)
                file.write(b"\x5a" * 100)
        text = self.refusal()
        self.assertIn(str(database), text)
        self.assertIn("damaged", text)
        shutil.copy(good, database)
        self.start_daemon()
        self.assertEqual(len(self.client.names(page_size=1000)), 100)

    def test_a_state_file_that_cannot_be_written_is_not_called_damaged(self):
        self.client.create("one")
        self.kill_daemon()
        shutil.copytree(self.state, self.folder / "bound")
        if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
            self.skipTest("mounting takes root")
        script = ('mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && '
                  'exec "$2" --socket="$3" --state="$1"')
        done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", self.folder / "bound", DAEMON, self.socket],
                              capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 125, done.stderr)
        self.assertIn("cannot be used", done.stderr)
        self.assertNotIn("damaged", done.stderr)

    def test_a_state_directory_behind_a_symbolic_link_serves(self):
        device = self.client.running("one")
        self.kill_daemon()
        self.state.rename(self.folder / "real")
        self.state.symlink_to(self.folder / "real")
        self.start_daemon()
        self.assertEqual(self.client.wait_for("devices/one", RUNNING).status.process_id, device.status.process_id)
        self.client.stop("devices/one")

    def test_a_state_file_of_a_newer_version_is_told(self):
        self.kill_daemon()
        with sqlite3.connect(self.state / "state.db") as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
        self.assertIn("newer version", self.refusal())

    def test_bad_options_are_told(self):
        self.assertIn("--max-memory", self.refusal("--max-memory=lots"))
        self.assertIn("there is no user", self.refusal("--allow-user=nobody-at-all"))
        self.assertIn("--nonsense", self.refusal("--nonsense"))


class Systemd(DaemonTest):
    """What systemd does for a socket-activated service of type notify."""

    def start_daemon(self, *arguments, **options):
        """The daemon starts with the first connection, as far as clients can tell."""
        self.socket.parent.mkdir(mode=0o700)
        self.client = self.connect()
        notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(notices.close)
        notices.bind(str(self.folder / "notify"))
        notices.settimeout(PATIENCE)
        self.notices = notices
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.socket))
            listener.listen()
            command = f'exec 3<&{listener.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
            self.daemon = subprocess.Popen(
                ["sh", "-c", command, "sh", DAEMON, "--socket=/nonexistent/socket", f"--state={self.state}"],
                pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL,
                env={**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify")})

    def test_it_takes_the_socket_and_tells_when_it_is_ready_and_ends(self):
        self.assertEqual(self.notices.recv(100), b"READY=1")
        self.client.create("one")
        self.assertEqual(self.client.names(), ["one"])
        self.daemon.send_signal(signal.SIGTERM)
        self.assertEqual(self.notices.recv(100), b"STOPPING=1")
        self.assertEqual(self.daemon.wait(PATIENCE), 0)


class FullDisk(DaemonTest):
    """A state directory on a file system that is full at times."""

    def start_daemon(self, *arguments, **options):
        if not self.state.exists():
            self.state.mkdir(mode=0o700)
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", self.state],
                                     capture_output=True, check=False)
            if mounted.returncode:
                self.skipTest("mounting takes root")
        super().start_daemon(*arguments, **options)

    def clean_up(self):
        super().clean_up()
        subprocess.run(["umount", "-l", self.state], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def fill_disk(self):
        """Makes devices until the state file has no room: how many. The file `filler` is in the way."""
        filler = self.state / "filler"
        with self.assertRaises(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        # The state file still has room for some.
        for number in range(2000):
            try:
                self.client.create(f"d{number}", labels={"filler": "x" * 60})
            except grpc.RpcError as error:
                self.assertEqual((error.code(), "full" in error.details()), (grpc.StatusCode.UNAVAILABLE, True),
                                 error.details())
                return number
        self.fail("there was room for everything")

    def test_what_has_happened_is_told_and_stored_later(self):
        process = self.client.running("one").status.process_id
        events = self.client.devices.WatchDevices(devices_pb2.WatchDevicesRequest(filter="state=FAILED"),
                                                  timeout=PATIENCE)
        self.assertEqual(next(events).kind, devices_pb2.DeviceEvent.KIND_CURRENT)
        self.fill_disk()
        os.kill(process, signal.SIGKILL)
        self.assertEqual(next(events).device.name, "devices/one")
        (self.state / "filler").unlink()
        time.sleep(2)
        self.restart_daemon()
        self.assertIn("killed by signal 9", self.client.get("devices/one").status.state_reason)

    def test_what_cannot_be_stored_is_not_done(self):
        running = self.client.running("one")
        made = self.fill_disk()
        self.assertEqual(len(self.client.names(page_size=1000)), made + 1)
        self.assertEqual(self.client.get("devices/one").status.state, RUNNING)
        (self.state / "filler").unlink()
        self.client.create("again")
        self.restart_daemon()
        self.assertEqual(len(self.client.names(page_size=1000)), made + 2)
        self.assertEqual(self.client.wait_for("devices/one", RUNNING).status.process_id, running.status.process_id)
