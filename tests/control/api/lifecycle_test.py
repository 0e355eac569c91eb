"""Devices that start, run, fail, are started again and go."""

import concurrent.futures
import os
import signal
import time

import grpc

from ensemble.v1 import device_pb2, devices_pb2, operations_pb2
from harness import PATIENCE, DaemonTest, eventually, is_alive

CREATED, RUNNING, PAUSED, STOPPED, FAILED = (device_pb2.DEVICE_STATE_CREATED, device_pb2.DEVICE_STATE_RUNNING,
                                             device_pb2.DEVICE_STATE_PAUSED, device_pb2.DEVICE_STATE_STOPPED,
                                             device_pb2.DEVICE_STATE_FAILED)


class Lives(DaemonTest):
    def pause(self, name):
        return self.client.devices.PauseDevice(devices_pb2.PauseDeviceRequest(name=name), timeout=PATIENCE)

    def resume(self, name):
        return self.client.devices.ResumeDevice(devices_pb2.ResumeDeviceRequest(name=name), timeout=PATIENCE)

    def reset(self, name):
        return self.client.devices.ResetDevice(devices_pb2.ResetDeviceRequest(name=name), timeout=PATIENCE)

    def test_a_device_runs_pauses_resets_and_stops(self):
        device = self.client.running("one")
        self.assertEqual(device.status.state, RUNNING)
        self.assertEqual(device.status.memory_bytes, 32 << 20)
        process = device.status.process_id
        self.assertEqual(self.processes_of(self.state / "devices" / device.uid), [process])
        self.assertEqual(self.pause("devices/one").status.state, PAUSED)
        self.assertEqual(self.resume("devices/one").status.state, RUNNING)
        self.assertEqual(self.reset("devices/one").status.state, RUNNING)
        self.assertEqual(self.client.get("devices/one").status.process_id, process)
        stopped = self.client.stop("devices/one")
        self.assertEqual(stopped.status.state, STOPPED)
        self.assertIn("by a call", stopped.status.state_reason)
        self.assertFalse(is_alive(process))
        self.assertEqual(self.client.start("devices/one").status.state, RUNNING)

    def test_wrong_states_are_told(self):
        self.client.create("one")
        for action, text in ((self.pause, "cannot pause devices/one: it is CREATED"),
                             (self.resume, "cannot resume"), (self.reset, "cannot reset")):
            with self.refused(grpc.StatusCode.FAILED_PRECONDITION, text, reason="WRONG_STATE"):
                action("devices/one")
        self.client.start("devices/one")
        with self.refused(grpc.StatusCode.FAILED_PRECONDITION, "it is RUNNING"):
            self.client.start("devices/one")
        with self.refused(grpc.StatusCode.FAILED_PRECONDITION, "stop it first"):
            self.client.delete("devices/one", force=False)
        for action in (self.client.start, self.client.stop, self.pause, self.client.delete):
            with self.refused(grpc.StatusCode.NOT_FOUND, "two"):
                action("devices/two")
        self.assertEqual(self.client.get("devices/one").status.state, RUNNING)

    def test_stopping_what_is_stopped_succeeds(self):
        self.client.create("one")
        self.assertEqual(self.client.stop("devices/one").status.state, CREATED)

    def test_a_command_that_ends_stops_its_device(self):
        self.client.create("one", kernel="hello")
        self.client.devices.StartDevice(devices_pb2.StartDeviceRequest(name="devices/one"), timeout=PATIENCE)
        device = self.client.wait_for("devices/one", STOPPED)
        self.assertTrue(device.status.HasField("exit_code"))
        self.assertEqual(device.status.process_id, 0)

    def test_a_machine_that_crashes_has_failed(self):
        self.client.create("one", kernel="triple_fault")
        self.client.devices.StartDevice(devices_pb2.StartDeviceRequest(name="devices/one"), timeout=PATIENCE)
        self.assertIn("triple-faulted", self.client.wait_for("devices/one", FAILED).status.state_reason)

    def test_a_missing_file_refuses_the_start(self):
        self.client.create("one", disk="/nonexistent/disk.img")
        with self.refused(grpc.StatusCode.FAILED_PRECONDITION, "/nonexistent/disk.img", reason="CANNOT_CONFIGURE"):
            self.client.start("devices/one")
        self.assertEqual(self.client.get("devices/one").status.state, CREATED)

    def test_a_kernel_that_is_none_fails_the_start_with_a_reason(self):
        bad = self.folder / "bad.elf"
        bad.write_bytes(b"no kernel" * 1000)
        request = devices_pb2.CreateDeviceRequest(device_id="bad", device=device_pb2.Device(
            spec=device_pb2.DeviceSpec(profile="watch", kernel=str(bad))))
        self.client.devices.CreateDevice(request, timeout=PATIENCE)
        operation = self.client.finish(self.client.devices.StartDevice(
            devices_pb2.StartDeviceRequest(name="devices/bad"), timeout=PATIENCE))
        self.assertIn("bad.elf", operation.error.message)
        device = self.client.get("devices/bad")
        self.assertEqual(device.status.state, FAILED)
        self.assertIn("bad.elf", device.status.state_reason)

    def test_a_killed_process_fails_its_device(self):
        device = self.client.running("one")
        os.kill(device.status.process_id, signal.SIGKILL)
        failed = self.client.wait_for("devices/one", FAILED)
        self.assertIn("killed by signal 9", failed.status.state_reason)
        self.assertEqual(self.client.start("devices/one").status.state, RUNNING)

    def test_the_restart_policy_starts_it_again_until_it_gives_up(self):
        restart = device_pb2.Restart(policy=device_pb2.RESTART_POLICY_ON_FAILURE, maximum_attempts=2)
        self.client.running("one", restart=restart)
        for attempt in (1, 2):
            os.kill(self.client.get("devices/one").status.process_id, signal.SIGKILL)
            eventually(lambda n=attempt: (status := self.client.get("devices/one").status).restarts == n
                       and status.state == RUNNING)
        os.kill(self.client.get("devices/one").status.process_id, signal.SIGKILL)
        last = self.client.wait_for("devices/one", FAILED)
        self.assertFalse(last.status.HasField("next_start_time"))
        self.assertEqual(self.client.start("devices/one").status.restarts, 0)

    def waiting_for_its_restart(self, name):
        """A device that has failed, and is to start again in more than a second."""
        restart = device_pb2.Restart(policy=device_pb2.RESTART_POLICY_ON_FAILURE, maximum_attempts=1000)
        self.client.running(name, restart=restart)
        for attempt in range(5):
            status = eventually(lambda n=attempt: (s := self.client.get(f"devices/{name}").status).restarts == n
                                and s.state == RUNNING and s)
            os.kill(status.process_id, signal.SIGKILL)
        return eventually(lambda: (d := self.client.get(f"devices/{name}")).status.HasField("next_start_time") and d)

    def test_a_stop_ends_what_the_restart_policy_had_in_mind(self):
        self.waiting_for_its_restart("one")
        status = self.client.stop("devices/one").status
        self.assertFalse(status.HasField("next_start_time"))
        time.sleep(2.5)
        self.assertEqual(self.client.get("devices/one").status, status)

    def test_a_policy_that_is_taken_back_starts_nothing(self):
        self.waiting_for_its_restart("one")
        update = devices_pb2.UpdateDeviceRequest(device=device_pb2.Device(name="devices/one"))
        update.update_mask.paths.append("spec.restart")
        after = self.client.devices.UpdateDevice(update, timeout=PATIENCE)
        self.assertFalse(after.status.HasField("next_start_time"))
        time.sleep(2.5)
        self.assertEqual(self.client.get("devices/one").status.state, FAILED)

    def test_a_deletion_that_is_asked_for_twice_is_one(self):
        process = self.client.running("one").status.process_id
        self.assertTrue(is_alive(process))
        request = devices_pb2.DeleteDeviceRequest(name="devices/one", force=True)
        calls = [self.client.devices.DeleteDevice.future(request, timeout=PATIENCE) for _ in range(4)]
        names = set()
        for call in calls:
            try:
                names.add(call.result().name)
            except grpc.RpcError as error:
                self.assertEqual(error.code(), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(len(names), 1)

    def test_two_clients_start_one_device_once(self):
        device = self.client.create("one")
        clients = [self.connect() for _ in range(8)]

        def start(client):
            try:
                return client.finish(client.devices.StartDevice(
                    devices_pb2.StartDeviceRequest(name="devices/one"), timeout=PATIENCE)).HasField("error")
            except grpc.RpcError as error:
                return error.code()

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            results = list(pool.map(start, clients))
        self.assertIn(False, results)
        self.assertLessEqual(set(results), {False, grpc.StatusCode.FAILED_PRECONDITION})
        self.assertEqual(len(self.processes_of(self.state / "devices" / device.uid)), 1)

    def test_nothing_is_left_of_a_deleted_device(self):
        device = self.client.running("one")
        self.client.delete("devices/one")
        self.assertFalse(is_alive(device.status.process_id))
        self.assertEqual(list((self.state / "devices").iterdir()), [])
        self.assertEqual(self.client.names(), [])

    def test_operations_can_be_asked_for_and_watched(self):
        self.client.create("one")
        operation = self.client.devices.StartDevice(devices_pb2.StartDeviceRequest(name="devices/one"), timeout=PATIENCE)
        seen = list(self.client.operations.WatchOperation(
            operations_pb2.WatchOperationRequest(name=operation.name), timeout=PATIENCE))
        self.assertTrue(seen[-1].done)
        listed = self.client.operations.ListOperations(operations_pb2.ListOperationsRequest(), timeout=PATIENCE)
        self.assertEqual(listed.operations[0], seen[-1])
        self.assertEqual((seen[-1].verb, seen[-1].target), ("start", "devices/one"))
        with self.refused(grpc.StatusCode.NOT_FOUND, "operations/none"):
            self.client.operations.GetOperation(
                operations_pb2.GetOperationRequest(name="operations/none"), timeout=PATIENCE)

    def test_a_start_can_be_cancelled(self):
        process, operation = self.hung_start("one")
        self.client.operations.CancelOperation(
            operations_pb2.CancelOperationRequest(name=operation.name), timeout=PATIENCE)
        self.assertEqual(self.client.finish(operation).error.code, grpc.StatusCode.CANCELLED.value[0])
        os.kill(process, signal.SIGCONT)
        self.client.wait_for("devices/one", STOPPED)
        self.assertFalse(is_alive(process))


class Guest(DaemonTest):
    """The real guest, where it was built."""

    def start_daemon(self, *arguments, **options):
        super().start_daemon(*arguments, guest=os.environ.get("ENSEMBLE_GUEST_DIR"))

    def test_a_phone_runs_a_command(self):
        built = os.path.join(os.path.dirname(os.environ["ENSEMBLED"]), "..", "guest-kernel", "nucleus.elf")
        if "ENSEMBLE_GUEST_DIR" not in os.environ and not os.path.exists(built):
            self.skipTest("this build has no guest")
        request = devices_pb2.CreateDeviceRequest(device_id="phone", device=device_pb2.Device(
            spec=device_pb2.DeviceSpec(profile="phone", command=["/bin/busybox", "sh", "-c", "exit 7"])))
        self.client.devices.CreateDevice(request, timeout=PATIENCE)
        self.client.devices.StartDevice(devices_pb2.StartDeviceRequest(name="devices/phone"), timeout=PATIENCE)
        self.assertEqual(self.client.wait_for("devices/phone", STOPPED).status.exit_code, 7)
