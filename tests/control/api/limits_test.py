"""Hosts that run out of descriptors, clients that only hold connections, and clocks that jump."""

import contextlib
import os
import resource
import socket
import time
from pathlib import Path

import grpc

from ensemble.v1 import device_pb2, operations_pb2
from harness import PATIENCE, DaemonTest, eventually, is_alive

RUNNING, FAILED = device_pb2.DEVICE_STATE_RUNNING, device_pb2.DEVICE_STATE_FAILED
FAKE_CLOCK = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
DAY = 86400


class Connections(DaemonTest):
    def connect_many(self, count, stack):
        for _ in range(count):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(self.socket))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.daemon.pid}/fd"))

    def memory(self):
        return int(Path(f"/proc/{self.daemon.pid}/statm").read_text(encoding="ascii").split()[1]) * 4096

    def test_ten_thousand_idle_connections(self):
        count = 10_000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < count + 1000:
            self.skipTest(f"this host lets a process have {hard} descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.client.running("one")
        before, memory = self.descriptors(), self.memory()
        with contextlib.ExitStack() as stack:
            self.connect_many(count, stack)
            eventually(lambda: self.descriptors() >= before + count, 4 * PATIENCE)
            begin = time.monotonic()
            self.assertEqual(self.client.get("devices/one").status.state, RUNNING)
            self.assertEqual(self.connect().names(), ["one"])
            print(f"calls took {time.monotonic() - begin:.3f} s beside {count} connections, each of "
                  f"{(self.memory() - memory) / count / 1024:.1f} KiB")
            self.assertLess(time.monotonic() - begin, PATIENCE - 5)
        eventually(lambda: self.descriptors() <= before + 10, 4 * PATIENCE)
        self.client.stop("devices/one")

    def names_by_a_new_client(self):
        with contextlib.suppress(grpc.RpcError):  # What was closed may still be counted.
            return self.connect().names()
        return None

    def test_a_daemon_without_descriptors_goes_on(self):
        if "ENSEMBLE_SANITIZED" in os.environ:
            self.skipTest("the sanitizer of undefined behaviour needs descriptors to look at objects")
        process = self.client.running("one").status.process_id
        self.client.create("two")
        limit = self.descriptors() + 20
        resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE, (limit, limit))
        with contextlib.ExitStack() as stack:
            self.connect_many(200, stack)
            eventually(lambda: self.descriptors() >= limit - 1)
            self.assertEqual(self.client.get("devices/one").status.state, RUNNING)
            with contextlib.suppress(AssertionError, grpc.RpcError):  # What it needs may be there or not.
                self.client.start("devices/two")
            self.assertTrue(is_alive(process))
        eventually(lambda: self.descriptors() < limit - 5)
        self.assertEqual(eventually(self.names_by_a_new_client), ["one", "two"])
        self.client.stop("devices/two")
        self.assertEqual(self.client.start("devices/two").status.state, RUNNING)


class Clock(DaemonTest):
    """The wall clock jumps; the daemon sees one that libfaketime shows it."""

    def setUp(self):
        if FAKE_CLOCK is None:
            self.skipTest("libfaketime is not installed")
        if "ENSEMBLE_SANITIZED" in os.environ:
            self.skipTest("a sanitizer's library has to be loaded before libfaketime")
        self.wall = {"LD_PRELOAD": str(FAKE_CLOCK), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1",
                     "DONT_FAKE_MONOTONIC": "1"}
        super().setUp()

    def start_daemon(self, *arguments, **options):
        file = self.folder / "clock"
        file.write_text("+0", encoding="ascii")
        changed = {**self.wall, "FAKETIME_TIMESTAMP_FILE": str(file)}
        kept = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        try:
            super().start_daemon(*arguments, **options)
        finally:
            for name, value in kept.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def jump(self, seconds):
        """Sets the daemon's clock to so many seconds from now."""
        changed = self.folder / "clock.new"
        changed.write_text(f"{seconds:+}", encoding="ascii")
        changed.rename(self.folder / "clock")

    def check_life(self, name):
        device = self.client.running(name, restart=device_pb2.Restart(
            policy=device_pb2.RESTART_POLICY_ON_FAILURE))
        begin = time.monotonic()
        os.kill(device.status.process_id, 9)
        eventually(lambda: (status := self.client.get(f"devices/{name}").status).state == RUNNING
                   and status.restarts == 1)
        self.assertLess(time.monotonic() - begin, PATIENCE - 5)
        self.client.stop(f"devices/{name}")
        return device.create_time.ToSeconds()

    def test_devices_live_on_when_the_clock_jumps(self):
        process = self.client.running("old").status.process_id
        first = self.check_life("now")
        self.assertLess(abs(first - time.time()), 60)
        self.jump(DAY)
        ahead = self.check_life("ahead")
        self.assertGreater(ahead - first, DAY - 60)
        self.jump(-DAY)
        self.check_life("behind")
        # In the order of their creation all the same.
        self.assertEqual(self.client.names(), ["old", "now", "ahead", "behind"])
        self.assertTrue(is_alive(process))
        self.restart_daemon()
        self.assertEqual(self.client.names(), ["old", "now", "ahead", "behind"])
        self.assertEqual(self.client.get("devices/old").status.process_id, process)

    def test_waiting_takes_as_long_as_asked(self):
        process, operation = self.hung_start("one")
        begin = time.monotonic()
        call = self.client.operations.WaitOperation.future(
            operations_pb2.WaitOperationRequest(name=operation.name, timeout={"seconds": 3}), timeout=PATIENCE)
        time.sleep(0.5)
        self.jump(DAY)
        self.assertFalse(call.result().done)
        self.assertGreater(time.monotonic() - begin, 2)
        self.jump(-DAY)
        os.kill(process, 18)
        self.assertTrue(self.client.finish(operation).done)
