"""Streams of events, and clients that misbehave on them."""

import os
import signal
import subprocess
import sys

import grpc

from google.protobuf import field_mask_pb2

from ensemble.v1 import device_pb2, devices_pb2
from harness import PATIENCE, DaemonTest, eventually

ADDED, CHANGED, DELETED, CURRENT = (devices_pb2.DeviceEvent.KIND_ADDED, devices_pb2.DeviceEvent.KIND_CHANGED,
                                    devices_pb2.DeviceEvent.KIND_DELETED, devices_pb2.DeviceEvent.KIND_CURRENT)

VANISHING = """
import sys, harness
from google.protobuf import field_mask_pb2

from ensemble.v1 import device_pb2, devices_pb2
client = harness.Client(sys.argv[1])
for event in client.devices.WatchDevices(devices_pb2.WatchDevicesRequest()):
    print("event", flush=True)
"""


class Streams(DaemonTest):
    def watch(self, client=None, **fields):
        return (client or self.client).devices.WatchDevices(devices_pb2.WatchDevicesRequest(**fields),
                                                            timeout=PATIENCE)

    def test_a_watch_tells_what_is_and_what_happens(self):
        self.client.create("one")
        events = self.watch()
        self.assertEqual([next(events).kind for _ in range(2)], [ADDED, CURRENT])
        self.client.create("two")
        self.assertEqual(next(events).device.name, "devices/two")
        self.client.start("devices/two")
        self.client.delete("devices/two")
        kinds = []
        while not kinds or kinds[-1] != DELETED:
            kinds.append(next(events).kind)
        self.assertEqual(set(kinds[:-1]), {CHANGED})

    def test_a_filtered_watch_tells_when_a_device_stops_to_match(self):
        events = self.watch(filter="state=RUNNING")
        self.assertEqual(next(events).kind, CURRENT)
        self.client.running("one")
        self.assertEqual(next(events).kind, ADDED)
        self.client.stop("devices/one")
        self.assertEqual(next(events).kind, DELETED)
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, "state=UP", field="filter"):
            next(self.watch(filter="state=UP"))

    def test_a_watch_of_many_large_devices_begins_with_all_of_them(self):
        for number in range(30):
            self.client.create(f"large{number}", command=["x" * 120000])
        names, kinds = [], []
        for event in self.watch():
            kinds.append(event.kind)
            names.append(event.device.name.removeprefix("devices/"))
            if event.kind == CURRENT:
                break
            if len(names) == 1:
                self.client.delete("devices/large29")
                self.client.create("last")
        self.assertEqual(kinds, [ADDED] * 30 + [CURRENT])
        self.assertEqual(names, [f"large{number}" for number in range(29)] + ["last", ""])

    def test_a_slow_reader_is_told_that_it_is_one(self):
        self.client.create("one")
        # gRPC takes in 64 KiB for a client that does not read, and no more as it goes.
        slow = self.connect(("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536))
        events = slow.devices.WatchDevices(devices_pb2.WatchDevicesRequest(), timeout=3 * PATIENCE)
        self.assertEqual(next(events).kind, ADDED)
        for number in range(400):
            labels = {f"k{number}-{index}": "x" * 63 for index in range(64)}
            self.client.devices.UpdateDevice(devices_pb2.UpdateDeviceRequest(
                device=device_pb2.Device(name="devices/one", labels=labels),
                update_mask=field_mask_pb2.FieldMask(paths=["labels"])), timeout=PATIENCE)
        with self.refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "does not read", reason="READER_TOO_SLOW"):
            for _ in range(402):
                next(events)
        # The daemon is well, and so is a new watch.
        self.assertEqual(next(self.watch()).kind, ADDED)

    def test_a_client_that_vanishes_leaves_nothing(self):
        before = len(os.listdir(f"/proc/{self.daemon.pid}/fd"))
        clients = [subprocess.Popen([sys.executable, "-c", VANISHING, self.socket], stdout=subprocess.PIPE)
                   for _ in range(4)]
        for client in clients:
            client.stdout.readline()
            client.send_signal(signal.SIGKILL)
            client.wait()
            client.stdout.close()
        self.client.create("one")
        eventually(lambda: len(os.listdir(f"/proc/{self.daemon.pid}/fd")) <= before)

    def test_a_cancelled_watch_ends(self):
        events = self.watch()
        next(events)
        events.cancel()
        with self.assertRaises(grpc.RpcError):
            next(events)
        self.client.create("one")
        self.assertEqual(self.client.names(), ["one"])
