"""Device processes that hang, or go in the middle of a call, and a host that refuses."""

import contextlib
import os
import signal
import socket
import time

import grpc

from ensemble.v1 import device_pb2, devices_pb2, host_pb2
from harness import PATIENCE, DaemonTest, eventually, is_alive

RUNNING, PAUSED, STOPPED, FAILED = (device_pb2.DEVICE_STATE_RUNNING, device_pb2.DEVICE_STATE_PAUSED,
                                    device_pb2.DEVICE_STATE_STOPPED, device_pb2.DEVICE_STATE_FAILED)
SILENT = "does not answer"


class Faults(DaemonTest):
    def call(self, verb, name):
        """A call that has come to the daemon, and waits for the device's process."""
        stub, request = {
            "pause": (self.client.devices.PauseDevice, devices_pb2.PauseDeviceRequest),
            "reset": (self.client.devices.ResetDevice, devices_pb2.ResetDeviceRequest),
            "measure": (self.client.host.GetDeviceMetrics, host_pb2.GetDeviceMetricsRequest)}[verb]
        call = stub.future(request(name=name), timeout=PATIENCE)
        time.sleep(0.3)
        self.assertFalse(call.done())
        return call

    def hung(self, name):
        """The process of a device that runs, and answers no more."""
        process = self.client.running(name).status.process_id
        os.kill(process, signal.SIGSTOP)
        return process


class Calls(Faults):
    def test_a_process_that_goes_answers_what_it_was_asked(self):
        process = self.hung("one")
        calls = [self.call(verb, "devices/one") for verb in ("pause", "reset", "measure")]
        begin = time.monotonic()
        os.kill(process, signal.SIGKILL)
        for call in calls:
            with self.refused(grpc.StatusCode.UNAVAILABLE, SILENT, reason="PROCESS_SILENT"):
                call.result()
        self.assertLess(time.monotonic() - begin, PATIENCE - 5)
        self.assertIn("killed by signal 9", self.client.wait_for("devices/one", FAILED).status.state_reason)

    def test_a_process_that_hangs_is_told_in_time(self):
        process = self.hung("one")
        call = self.call("pause", "devices/one")
        with self.refused(grpc.StatusCode.UNAVAILABLE, SILENT, reason="PROCESS_SILENT"):
            call.result()
        self.assertEqual(self.client.get("devices/one").status.state, RUNNING)
        # It has been asked to, and does so late.
        os.kill(process, signal.SIGCONT)
        self.client.wait_for("devices/one", PAUSED)

    def test_a_client_that_gives_up_holds_nobody_up(self):
        self.hung("one")
        self.call("pause", "devices/one").cancel()
        call = self.call("pause", "devices/one")
        self.daemon.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        with self.refused(grpc.StatusCode.UNAVAILABLE, "devices go on"):
            call.result()
        self.assertEqual(self.daemon.wait(PATIENCE), 0)
        self.assertLess(time.monotonic() - begin, PATIENCE - 5)

    def test_a_start_that_hangs_fails(self):
        process, _ = self.hung_start("one")
        device = eventually(lambda: (d := self.client.get("devices/one")).status.state == FAILED and d, 2 * PATIENCE)
        self.assertIn(SILENT, device.status.state_reason)
        self.assertFalse(is_alive(process))


class Recovery(Faults):
    def test_a_hung_process_of_an_earlier_daemon_can_be_stopped(self):
        process = self.hung("one")
        self.restart_daemon()
        self.assertEqual(self.client.get("devices/one").status.state, RUNNING)
        self.assertEqual(self.client.stop("devices/one").status.state, STOPPED)
        self.assertFalse(is_alive(process))

    def test_a_hung_process_of_an_earlier_daemon_can_be_deleted(self):
        process = self.hung("one")
        self.restart_daemon()
        self.client.delete("devices/one")
        self.assertFalse(is_alive(process))
        self.assertEqual(list((self.state / "devices").iterdir()), [])

    def test_a_start_that_hangs_ends_with_the_next_daemon(self):
        process, _ = self.hung_start("one")
        self.restart_daemon()
        self.assertIn(SILENT, self.client.wait_for("devices/one", FAILED).status.state_reason)
        self.assertFalse(is_alive(process))

    def test_a_process_that_takes_no_connection_is_not_gone(self):
        device = self.client.running("one")
        process = device.status.process_id
        self.kill_daemon()
        os.kill(process, signal.SIGSTOP)
        with contextlib.ExitStack() as stack:
            folder = os.open(self.state / "devices" / device.uid, os.O_PATH)
            stack.callback(os.close, folder)
            with self.assertRaises(BlockingIOError):
                for _ in range(1000):
                    client = stack.enter_context(socket.socket(socket.AF_UNIX))
                    client.setblocking(False)
                    client.connect(f"/proc/self/fd/{folder}/control.sock")
            self.start_daemon()
            time.sleep(1)
            self.assertEqual(self.client.get("devices/one").status.state, RUNNING)
        os.kill(process, signal.SIGCONT)

        def pause():
            with contextlib.suppress(grpc.RpcError):
                return self.client.devices.PauseDevice(devices_pb2.PauseDeviceRequest(name="devices/one"),
                                                       timeout=PATIENCE)
            return None
        self.assertEqual(eventually(pause).status.state, PAUSED)
        self.assertTrue(is_alive(process))


class Restarts(Faults):
    def test_a_restart_that_fails_as_it_starts_is_not_the_last(self):
        kernel = self.folder / "kernel.elf"
        good = (self.guests / "loop.elf").read_bytes()
        kernel.write_bytes(good)
        restart = device_pb2.Restart(policy=device_pb2.RESTART_POLICY_ON_FAILURE, maximum_attempts=1000)
        device = self.client.running("one", path=str(kernel), restart=restart)
        kernel.write_bytes(b"no kernel" * 1000)
        os.kill(device.status.process_id, signal.SIGKILL)
        seen = eventually(lambda: (status := self.client.get("devices/one").status).restarts >= 2
                          and status.state == FAILED and status)
        self.assertNotIn("not started again", seen.state_reason)
        self.assertTrue(seen.HasField("next_start_time"))
        kernel.write_bytes(good)
        self.client.wait_for("devices/one", RUNNING)
