"""Consoles that are attached to, and logs."""

import queue
import threading
import time

import grpc

from ensemble.v1 import console_pb2, device_pb2, devices_pb2, logs_pb2
from google.protobuf import timestamp_pb2
from harness import PATIENCE, DaemonTest, eventually


class Viewer:
    """One stream of Console.Attach."""

    def __init__(self, client, name, **begin):
        self.requests = queue.Queue()
        self.output, self.error, self.ended = b"", None, threading.Event()
        self.send(begin=console_pb2.AttachRequest.Begin(name=name, **begin))
        self.call = client.console.Attach(iter(self.requests.get, None), timeout=PATIENCE)
        threading.Thread(target=self.read, daemon=True).start()

    def send(self, **fields):
        self.requests.put(console_pb2.AttachRequest(**fields))

    def read(self):
        try:
            for response in self.call:
                self.output += response.output
        except grpc.RpcError as error:
            self.error = error
        self.ended.set()

    def wait_for(self, text):
        return eventually(lambda: text in self.output)

    def wait_for_end(self):
        assert self.ended.wait(PATIENCE)
        self.requests.put(None)
        return self.error.code() if self.error else grpc.StatusCode.OK


class Consoles(DaemonTest):
    def test_all_viewers_see_what_each_types(self):
        self.client.running("one", kernel="echo")
        first = Viewer(self.client, "devices/one", scrollback_bytes=1000)
        second = Viewer(self.connect(), "devices/one", scrollback_bytes=1000)
        first.wait_for(b"ready")
        first.send(input=b"abc")
        second.wait_for(b"abc")
        second.send(input=b"xyz")
        first.wait_for(b"xyz")
        second.wait_for(b"xyz")
        late = Viewer(self.client, "devices/one", scrollback_bytes=3)
        late.wait_for(b"xyz")
        self.assertEqual(late.output, b"xyz")
        self.client.stop("devices/one")
        for viewer in (first, second, late):
            self.assertEqual(viewer.wait_for_end(), grpc.StatusCode.OK)

    def test_a_console_works_again_after_reset_and_restart(self):
        self.client.running("one", kernel="echo")
        viewer = Viewer(self.client, "devices/one")
        viewer.send(input=b"a")
        viewer.wait_for(b"a")
        self.client.devices.ResetDevice(devices_pb2.ResetDeviceRequest(name="devices/one"), timeout=PATIENCE)
        eventually(lambda: b"ready" in viewer.output[1:])
        viewer.send(input=b"bcd")
        viewer.wait_for(b"bcd")
        self.client.stop("devices/one")
        viewer.wait_for_end()
        self.client.start("devices/one")
        again = Viewer(self.client, "devices/one")
        again.send(input=b"efg")
        again.wait_for(b"efg")

    def test_who_only_looks_cannot_type(self):
        self.client.running("one", kernel="echo")
        viewer = Viewer(self.client, "devices/one", read_only=True)
        viewer.send(input=b"a")
        self.assertEqual(viewer.wait_for_end(), grpc.StatusCode.FAILED_PRECONDITION)

    def test_bad_attachments(self):
        self.client.create("one")
        cases = [(Viewer(self.client, "devices/one"), grpc.StatusCode.FAILED_PRECONDITION, "start it first"),
                 (Viewer(self.client, "devices/none"), grpc.StatusCode.NOT_FOUND, "none"),
                 (Viewer(self.client, "devices/one", scrollback_bytes=2 << 20),
                  grpc.StatusCode.INVALID_ARGUMENT, "scrollback_bytes")]
        for viewer, code, text in cases:
            self.assertEqual(viewer.wait_for_end(), code)
            self.assertIn(text, viewer.error.details())
        self.client.start("devices/one")
        viewer = Viewer(self.client, "devices/one")
        viewer.send(begin=console_pb2.AttachRequest.Begin(name="devices/one"))
        self.assertEqual(viewer.wait_for_end(), grpc.StatusCode.INVALID_ARGUMENT)
        viewer = Viewer(self.client, "devices/one")
        viewer.send(input=b"x" * 70000)
        self.assertEqual(viewer.wait_for_end(), grpc.StatusCode.INVALID_ARGUMENT)

    def test_a_client_that_ends_its_half_goes_on_looking(self):
        self.client.running("one", kernel="echo")
        typist = Viewer(self.client, "devices/one", scrollback_bytes=1000)
        typist.wait_for(b"ready")
        viewer = Viewer(self.client, "devices/one", scrollback_bytes=1000)
        viewer.requests.put(None)
        viewer.wait_for(b"ready")
        typist.send(input=b"abc")
        viewer.wait_for(b"abc")
        self.client.stop("devices/one")
        self.assertEqual(viewer.wait_for_end(), grpc.StatusCode.OK)

    def test_a_viewer_that_does_not_read_holds_nobody_up(self):
        self.client.running("one", kernel="flood")
        requests = queue.Queue()
        requests.put(console_pb2.AttachRequest(begin=console_pb2.AttachRequest.Begin(name="devices/one")))
        # gRPC takes in this much for a client that does not read.
        slow = self.connect(("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 4096))
        stuck = slow.console.Attach(iter(requests.get, None))
        viewer = Viewer(self.connect(), "devices/one")
        eventually(lambda: len(viewer.output) > 40000)
        self.assertEqual(self.client.get("devices/one").status.state, device_pb2.DEVICE_STATE_RUNNING)
        stuck.cancel()
        requests.put(None)


class Logs(DaemonTest):
    def read(self, **fields):
        return b"".join(chunk.data for chunk in self.client.logs.ReadLogs(
            logs_pb2.ReadLogsRequest(name="devices/one", **fields), timeout=PATIENCE))

    def test_what_was_printed_is_kept(self):
        self.client.create("one", kernel="hello")
        self.assertEqual(self.read(), b"")
        self.client.devices.StartDevice(devices_pb2.StartDeviceRequest(name="devices/one"), timeout=PATIENCE)
        self.client.wait_for("devices/one", device_pb2.DEVICE_STATE_STOPPED)
        text = self.read(sources=[logs_pb2.LOG_SOURCE_CONSOLE])
        self.assertIn(b"hello", text)
        self.assertEqual(self.read(sources=[logs_pb2.LOG_SOURCE_CONSOLE], tail_lines=1), text.splitlines(True)[-1])
        self.assertEqual(self.read(sources=[logs_pb2.LOG_SOURCE_CONSOLE],
                                   since=timestamp_pb2.Timestamp(seconds=int(time.time()) + 100)), b"")
        self.assertEqual(self.read(sources=[logs_pb2.LOG_SOURCE_CONSOLE],
                                   since=timestamp_pb2.Timestamp(seconds=18_446_744_074)), b"")

    def test_a_log_is_followed_until_the_device_is_deleted(self):
        self.client.create("one", kernel="hello")
        chunks = []
        call = self.client.logs.ReadLogs(logs_pb2.ReadLogsRequest(name="devices/one", follow=True), timeout=PATIENCE)
        reader = threading.Thread(target=lambda: chunks.extend(chunk.data for chunk in call))
        reader.start()
        for _ in range(2):
            self.client.devices.StartDevice(devices_pb2.StartDeviceRequest(name="devices/one"), timeout=PATIENCE)
            self.client.wait_for("devices/one", device_pb2.DEVICE_STATE_STOPPED)
        eventually(lambda: b"".join(chunks).count(b"hello") == 2)
        self.client.delete("devices/one")
        reader.join(PATIENCE)
        self.assertFalse(reader.is_alive())

    def test_an_unknown_device_has_no_log(self):
        with self.refused(grpc.StatusCode.NOT_FOUND, "one"):
            self.read()
