"""Random calls of several clients while the daemon and devices' processes are killed, again and again.

ENSEMBLE_CHAOS_SECONDS sets how long, ENSEMBLE_CHAOS_SEED which calls.
"""

import contextlib
import os
import random
import signal
import threading
import time

import grpc

from ensemble.v1 import device_pb2, devices_pb2
from harness import DaemonTest, eventually, is_alive

SECONDS = float(os.environ.get("ENSEMBLE_CHAOS_SECONDS", "20"))
SEED = int(os.environ.get("ENSEMBLE_CHAOS_SEED", "1"))
CLIENTS = 8
BYSTANDERS = 4
DEADLINE = 15
ACTIVE = {device_pb2.DEVICE_STATE_RUNNING, device_pb2.DEVICE_STATE_PAUSED}
RESTING = {device_pb2.DEVICE_STATE_CREATED, device_pb2.DEVICE_STATE_STOPPED, device_pb2.DEVICE_STATE_FAILED}
# What a call may fail with: another client or a kill was there first.
EXPECTED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS,
            grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED}


class Chaos(DaemonTest):
    def call_at_random(self, client, choose):
        stub, name = client.devices, f"devices/d{choose.randrange(10)}"
        action = choose.randrange(8)
        if action < 2:
            client.create(name.removeprefix("devices/"), labels={"random": ""})
        elif action < 4:
            stub.StartDevice(devices_pb2.StartDeviceRequest(name=name), timeout=DEADLINE)
        elif action == 4:
            stub.StopDevice(devices_pb2.StopDeviceRequest(name=name), timeout=DEADLINE)
        elif action == 5:
            stub.PauseDevice(devices_pb2.PauseDeviceRequest(name=name), timeout=DEADLINE)
        elif action == 6:
            stub.ResumeDevice(devices_pb2.ResumeDeviceRequest(name=name), timeout=DEADLINE)
        else:
            stub.DeleteDevice(devices_pb2.DeleteDeviceRequest(name=name, force=True), timeout=DEADLINE)

    def be_a_client(self, number):
        client, choose = self.connect(), random.Random(SEED * 100 + number)
        while time.monotonic() < self.end:
            begin = time.monotonic()
            try:
                self.call_at_random(client, choose)
            except grpc.RpcError as error:
                if error.code() not in EXPECTED:
                    self.surprises.append(f"{error.code()}: {error.details()}")
            self.calls[number] += 1
            self.longest[number] = max(self.longest[number], time.monotonic() - begin)
            time.sleep(0.02)

    def kill_at_random(self):
        choose = random.Random(SEED)
        kills = 0
        while time.monotonic() < self.end:
            time.sleep(1)
            kills += 1
            if kills % 2:
                self.restart_daemon()
            found = [process for folder in (self.state / "devices").glob("*") if folder.name not in self.spared
                     for process in self.processes_of(folder)]
            if found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(choose.choice(found), signal.SIGKILL)

    def test_state_processes_and_disk_agree_afterwards(self):
        bystanders = [self.client.running(f"bystander-{number}") for number in range(BYSTANDERS)]
        self.spared = {device.uid for device in bystanders}
        self.calls, self.longest, self.surprises = [0] * CLIENTS, [0] * CLIENTS, []
        self.end = time.monotonic() + SECONDS
        threads = [threading.Thread(target=self.be_a_client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        self.kill_at_random()
        for thread in threads:
            thread.join()
        self.assertEqual(self.surprises, [])
        self.assertGreater(min(self.calls), 0)
        self.assertLess(max(self.longest), DEADLINE + 5)
        self.restart_daemon()
        print(f"{sum(self.calls)} calls, the longest {max(self.longest):.1f} s")

        def settled():
            devices = list(self.client.devices.ListDevices(devices_pb2.ListDevicesRequest(), timeout=DEADLINE).devices)
            return all(device.status.state in ACTIVE | RESTING for device in devices) and devices

        devices = eventually(settled)
        for device in devices:
            processes = self.processes_of(self.state / "devices" / device.uid)
            expected = [device.status.process_id] if device.status.state in ACTIVE else []
            self.assertEqual(processes, expected, device)
        folders = {folder.name for folder in (self.state / "devices").iterdir()}
        self.assertLessEqual(folders, {device.uid for device in devices})
        for device in bystanders:
            self.assertEqual(self.client.get(device.name).status.state, device_pb2.DEVICE_STATE_RUNNING)
            self.assertTrue(is_alive(device.status.process_id))
            self.assertEqual(self.client.get(device.name).status.process_id, device.status.process_id)
