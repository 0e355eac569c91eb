"""Figures of devices: by the API, for Prometheus over HTTP, and in `ensemble top`."""

import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time
import unittest
import urllib.error
import urllib.request
from fcntl import ioctl
from pathlib import Path

import grpc

from ensemble.v1 import device_pb2, devices_pb2, host_pb2, metrics_pb2
from harness import BUILT, PATIENCE, DaemonTest, eventually

PROGRAM = os.environ["ENSEMBLE"]
RUNNING = device_pb2.DEVICE_STATE_RUNNING
SERIES = re.compile(r'^([a-z_]+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def seconds(duration):
    return duration.seconds + duration.nanos / 1e9


class MetricsTest(DaemonTest):
    def measure(self, **fields):
        return self.client.metrics.ListDeviceMetrics(metrics_pb2.ListDeviceMetricsRequest(**fields),
                                                     timeout=PATIENCE)


class Calls(MetricsTest):
    def test_figures_of_devices_that_run_and_of_others(self):
        self.client.create("idle")
        one = self.client.running("one")
        first, = self.measure(names=["devices/one"]).metrics
        self.assertEqual((first.uid, first.state, first.process_id), (one.uid, RUNNING, one.status.process_id))
        second = eventually(lambda: (now := self.measure(names=["devices/one"]).metrics[0])
                            and seconds(now.processor_time) > seconds(first.processor_time) + 0.02 and now)
        elapsed = seconds(second.monotonic_time) - seconds(first.monotonic_time)
        self.assertGreater(elapsed, 0)
        used = seconds(second.processor_time) - seconds(first.processor_time)
        self.assertLess(used, elapsed * os.cpu_count() + 0.1)
        self.assertEqual(len(second.virtual_processor_times), 1)
        self.assertGreater(seconds(second.virtual_processor_times[0]), seconds(first.virtual_processor_times[0]))
        self.assertGreater(second.exits["port_write"], 0)
        self.assertGreater(second.touched_bytes, 0)
        self.assertGreater(second.overhead_bytes, 0)
        self.assertIn("virtio-console", [queue.device for queue in second.queues])
        both = self.measure().metrics
        self.assertEqual([metrics.name for metrics in both], ["devices/idle", "devices/one"])
        self.assertFalse(both[0].HasField("time"))
        self.assertEqual(both[0].problem, "")
        alone = self.client.host.GetDeviceMetrics(host_pb2.GetDeviceMetricsRequest(name="devices/one"),
                                                  timeout=PATIENCE)
        self.assertGreaterEqual(seconds(alone.processor_time), seconds(second.processor_time))

    def test_pages_and_filters(self):
        for number in range(5):
            self.client.create(f"d{number}", labels={"half": str(number % 2)})
        page = self.measure(page_size=2)
        names = [metrics.name for metrics in page.metrics]
        while page.next_page_token:
            page = self.measure(page_size=2, page_token=page.next_page_token)
            self.assertLessEqual(len(page.metrics), 2)
            names += [metrics.name for metrics in page.metrics]
        self.assertEqual(names, [f"devices/d{number}" for number in range(5)])
        self.assertEqual([metrics.name for metrics in self.measure(filter="half=1").metrics],
                         ["devices/d1", "devices/d3"])
        self.assertEqual([metrics.name for metrics in self.measure(names=["devices/d4", "devices/d0"]).metrics],
                         ["devices/d4", "devices/d0"])

    def test_what_cannot_be_asked_for(self):
        self.client.create("one")
        code = grpc.StatusCode
        for fields, status, field in (({"page_size": 1001}, code.INVALID_ARGUMENT, "page_size"),
                                      ({"page_token": "x"}, code.INVALID_ARGUMENT, "page_token"),
                                      ({"filter": "state=UP"}, code.INVALID_ARGUMENT, "filter"),
                                      ({"names": ["devices/none"]}, code.NOT_FOUND, None),
                                      ({"names": ["one"]}, code.INVALID_ARGUMENT, "name"),
                                      ({"names": ["devices/one"], "filter": "a=b"}, code.INVALID_ARGUMENT, "names"),
                                      ({"names": ["devices/one"] * 1001}, code.INVALID_ARGUMENT, "names")):
            with self.refused(status, field=field):
                self.measure(**fields)

    def test_a_process_that_does_not_answer_holds_nobody_up(self):
        process = self.client.running("hung").status.process_id
        self.client.running("well")
        os.kill(process, signal.SIGSTOP)
        begin = time.monotonic()
        hung, well = self.measure().metrics
        self.assertLess(time.monotonic() - begin, 8)
        self.assertIn("does not answer", hung.problem)
        self.assertFalse(hung.HasField("time"))
        self.assertTrue(well.HasField("monotonic_time"))
        call = self.client.metrics.ListDeviceMetrics.future(metrics_pb2.ListDeviceMetricsRequest(), timeout=PATIENCE)
        time.sleep(0.3)
        os.kill(process, signal.SIGKILL)
        self.assertEqual(len(call.result().metrics), 2)

    def test_a_reset_begins_the_machines_counters_anew(self):
        self.client.running("one", kernel="echo")
        before = self.settled()
        subprocess.run([PROGRAM, "reset", "one"], check=True, capture_output=True, timeout=PATIENCE,
                       env={**os.environ, "ENSEMBLE_SOCKET": str(self.socket)})
        after = self.settled()
        self.assertEqual(after.process_id, before.process_id)
        self.assertGreater(seconds(after.processor_time), seconds(before.processor_time))
        self.assertLess(after.exits["port_write"], 2 * before.exits["port_write"])

    def settled(self):
        """Figures of the device once it has greeted."""
        eventually(lambda: self.measure().metrics[0].exits["port_write"] > 5)
        time.sleep(0.5)
        return self.measure().metrics[0]

    @unittest.skipUnless(BUILT.exists(), "this build has no guest")
    def test_boot_phases_are_told_while_the_device_runs(self):
        self.restart_daemon(guest=None)
        self.client.create("one", path="", memory_bytes=0, command=["/bin/busybox", "sleep", "1000"])
        self.client.start("devices/one")
        boot = eventually(lambda: (now := self.measure().metrics[0].boot).HasField("last_driver") and now)
        phases = [seconds(boot.machine_started), seconds(boot.first_driver), seconds(boot.last_driver)]
        self.assertEqual(phases, sorted(phases))
        self.assertGreater(phases[0], 0)
        self.assertLess(phases[2], PATIENCE)
        queues = {(queue.device, queue.index): queue for queue in self.measure().metrics[0].queues}
        self.assertGreater(sum(queue.waiting for queue in queues.values()), 0)


class Scrapes(MetricsTest):
    arguments = ("--metrics=0",)

    def address(self):
        log = eventually(lambda: re.search(r"http://(\S+)/metrics",
                                           (self.folder / "log").read_text(encoding="utf-8")))
        return log.group(1)

    def scrape(self, path="/metrics"):
        with urllib.request.urlopen(f"http://{self.address()}{path}", timeout=PATIENCE) as answer:
            self.assertTrue(answer.headers["Content-Type"].startswith("text/plain"))
            return answer.read().decode()

    def series(self):
        """All that is told: the value of each name and its labels."""
        found = {}
        for line in self.scrape().splitlines():
            if line.startswith("#"):
                continue
            match = SERIES.match(line)
            self.assertTrue(match, line)
            labels = frozenset(LABEL.findall(match.group(2) or ""))
            self.assertNotIn((match.group(1), labels), found, line)
            found[match.group(1), labels] = float(match.group(3))
        return found

    def value(self, name, **labels):
        values = [value for (other, found), value in self.series().items()
                  if other == name and set(labels.items()) <= found]
        return sum(values) if values else None

    def test_devices_come_and_go(self):
        self.assertEqual(self.value("ensemble_devices"), 0)
        one = self.client.running("one")
        self.client.create("two")
        labels = {"device": "one", "uid": one.uid}
        self.assertEqual(self.value("ensemble_devices", state="running"), 1)
        self.assertEqual(self.value("ensemble_devices", state="created"), 1)
        self.assertEqual(self.value("ensemble_device_answers", **labels), 1)
        first = self.value("ensemble_device_vcpu_seconds_total", vcpu="0", **labels)
        eventually(lambda: self.value("ensemble_device_vcpu_seconds_total", vcpu="0", **labels) > first)
        self.assertGreater(self.value("ensemble_device_exits_total", reason="port_write", **labels), 0)
        self.assertGreater(self.value("ensemble_device_memory_touched_bytes", **labels), 0)
        self.assertIsNotNone(self.value("ensemble_device_virtqueue_waiting", virtio="virtio-console", **labels))
        self.client.stop("devices/one")
        self.assertIsNone(self.value("ensemble_device_answers", **labels))
        self.assertEqual(self.value("ensemble_devices", state="stopped"), 1)
        self.client.delete("devices/one")
        self.assertIsNone(self.value("ensemble_devices", state="gone"))
        self.assertEqual(self.value("ensemble_devices"), 1)

    def test_the_daemon_itself(self):
        resident = int(Path(f"/proc/{self.daemon.pid}/statm").read_text(encoding="ascii").split()[1]) * 4096
        self.assertLess(abs(self.value("process_resident_memory_bytes") - resident), 16 << 20)
        self.assertGreater(self.value("process_cpu_seconds_total"), 0)
        self.assertEqual(self.value("ensemble_build_info"), 1)

    def test_calls_are_counted_and_timed(self):
        method = "ensemble.v1.Devices/GetDevice"
        self.client.create("one")
        self.assertIsNone(self.value("ensemble_api_calls_total", method=method))
        for _ in range(3):
            self.client.get("devices/one")
        with self.refused(grpc.StatusCode.NOT_FOUND):
            self.client.get("devices/none")
        self.assertEqual(self.value("ensemble_api_calls_total", method=method, code="OK"), 3)
        self.assertEqual(self.value("ensemble_api_calls_total", method=method, code="NOT_FOUND"), 1)
        duration = "ensemble_api_call_duration_seconds"
        self.assertEqual(self.value(f"{duration}_count", method=method), 4)
        self.assertEqual(self.value(f"{duration}_bucket", method=method, le="+Inf"), 4)
        self.assertGreater(self.value(f"{duration}_sum", method=method), 0)
        # Streams are counted once they end, and not timed.
        watch = self.client.devices.WatchDevices(devices_pb2.WatchDevicesRequest())
        next(watch)
        watch.cancel()
        stream = "ensemble.v1.Devices/WatchDevices"
        eventually(lambda: self.value("ensemble_api_calls_total", method=stream) == 1)
        self.assertIsNone(self.value(f"{duration}_count", method=stream))

    def test_a_silent_process_is_told_of(self):
        process = self.client.running("one").status.process_id
        os.kill(process, signal.SIGSTOP)
        begin = time.monotonic()
        self.assertEqual(self.value("ensemble_device_answers", device="one"), 0)
        self.assertLess(time.monotonic() - begin, 10)
        self.assertIsNone(self.value("ensemble_device_vcpu_seconds_total", device="one"))

    def test_strangers_do_not_hold_it_up(self):
        host, port = self.address().rsplit(":", 1)
        held = []
        for _ in range(40):
            connection = socket.create_connection((host, int(port)), timeout=PATIENCE)
            connection.sendall(b"GET /metrics HTTP/1.1\r\n")  # And no more.
            held.append(connection)
            self.addCleanup(connection.close)
        self.assertEqual(self.client.names(), [])
        threads = len(os.listdir(f"/proc/{self.daemon.pid}/task"))
        self.assertLess(threads, 60)
        for connection in held:
            connection.close()
        self.assertIn("ensemble_devices", eventually(self.try_to_scrape, 4 * PATIENCE))
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.scrape("/../../../../etc/passwd")
        caught.exception.close()
        self.assertEqual(caught.exception.code, 404)

    def try_to_scrape(self):
        try:
            return self.scrape()
        except OSError:
            return None

    def test_it_ends_with_the_daemon(self):
        self.scrape()
        begin = time.monotonic()
        self.daemon.terminate()
        self.assertEqual(self.daemon.wait(PATIENCE), 0)
        self.assertLess(time.monotonic() - begin, 10)
        with self.assertRaises(OSError):
            self.scrape()

    def test_addresses_that_are_refused(self):
        for address, text in (("0.0.0.0:0", "loopback"), ("[::1]:0", "version 6"), ("192.0.2.1:80", "loopback"),
                              ("somewhere", "no address"), ("127.0.0.1:99999", "no address")):
            error = self.refusal(f"--metrics={address}", socket=self.folder / "other")
            self.assertIn("--metrics", error)
            self.assertIn(text, error)
        taken = self.refusal(f"--metrics={self.address()}", socket=self.folder / "other", state=self.folder / "other-state")
        self.assertIn("Address already in use", taken)


class Off(MetricsTest):
    def test_no_port_is_open_unless_asked_for(self):
        self.client.running("one")
        self.assertNotIn("Prometheus", (self.folder / "log").read_text(encoding="utf-8"))
        inodes = {os.readlink(entry) for entry in Path(f"/proc/{self.daemon.pid}/fd").iterdir()}
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{self.daemon.pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                self.assertNotIn(f"socket:[{line.split()[9]}]", inodes)


class Top(MetricsTest):
    def environment(self, **more):
        return {**os.environ, "ENSEMBLE_SOCKET": str(self.socket), "TERM": "xterm", **more}

    def top(self, *arguments, code=0):
        done = subprocess.run([PROGRAM, "top", *arguments], capture_output=True, text=True, timeout=PATIENCE,
                              env=self.environment(), check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def test_a_pipe_gets_one_table(self):
        self.client.running("busy", labels={"suite": "a"})
        self.client.create("idle")
        done = self.top()
        self.assertEqual(done.stderr, "")
        self.assertNotIn("\x1b", done.stdout)
        header, busy, idle = done.stdout.splitlines()
        self.assertEqual(header.split(), ["NAME", "STATE", "CPU%", "RAM", "OVERHEAD", "EXITS/S", "REQS/S", "BOOT"])
        self.assertEqual(busy.split()[:2], ["busy", "running"])
        self.assertGreater(float(busy.split()[2]), 0)
        self.assertLess(float(busy.split()[2]), 100 * os.cpu_count() + 50)
        self.assertEqual(idle.split()[:4], ["idle", "created", "-", "-"])
        uid = self.client.get("devices/busy").uid
        for selection in (("busy",), (uid[:8],), ("-l", "suite=a"), ("busy", uid[:8], "-l", "suite=a")):
            self.assertEqual(len(self.top("--once", "-o", "wide", "--interval", "0.1", *selection).stdout.splitlines()), 2)

    def test_json_has_the_facts(self):
        device = self.client.running("one")
        fact, = json.loads(self.top("-o", "json").stdout)
        self.assertEqual((fact["name"], fact["uid"], fact["state"]),
                         ("devices/one", device.uid, "DEVICE_STATE_RUNNING"))
        self.assertGreater(float(fact["processorTime"].rstrip("s")), 0)
        self.assertGreater(float(fact["monotonicTime"].rstrip("s")), 0)
        self.assertIn("processorTime:", self.top("-o", "yaml").stdout)
        self.client.delete("devices/one")
        self.assertEqual(json.loads(self.top("-o", "json").stdout), [])

    def test_what_cannot_be_shown_is_told(self):
        for arguments, text in ((("none",), "there is no device 'none'"), (("--interval", "0"), "--interval is 0"),
                                (("--interval", "nan"), "--interval"), (("-l", "state=up"), "state=up"),
                                (("-o", "xml"), "xml")):
            error = self.top(*arguments, code=125).stderr
            self.assertIn(text, error)
            self.assertTrue(error.startswith("ensemble: "), error)
        self.kill_daemon()
        self.assertIn("`ensembled &`", self.top(code=125).stderr)

    def start_on_terminal(self, *arguments, size=(24, 80), **environment):
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.modes = termios.tcgetattr(theirs)
        self.addCleanup(os.close, theirs)
        top = subprocess.Popen([PROGRAM, "top", *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
                               env=self.environment(**environment), start_new_session=True)
        self.addCleanup(top.wait)
        self.addCleanup(top.kill)
        self.theirs = theirs
        return top, ours

    def read_until(self, terminal, condition):
        seen = b""
        deadline = time.monotonic() + PATIENCE
        while not condition(seen):
            self.assertLess(time.monotonic(), deadline, seen)
            if select.select([terminal], [], [], 0.2)[0]:
                seen += os.read(terminal, 65536)
        return seen

    def check_end(self, top, terminal):
        seen = self.read_until(terminal, lambda seen: seen.endswith(b"\x1b[?25h\x1b[?1049l"))
        self.assertEqual(top.wait(PATIENCE), 0, seen)
        self.assertEqual(termios.tcgetattr(self.theirs), self.modes)

    def test_a_terminal_is_drawn_again_until_a_key_ends_it(self):
        self.client.running("lab")
        for end in (b"q", b"\x03"):
            top, terminal = self.start_on_terminal("--interval", "0.2")
            seen = self.read_until(terminal, lambda seen: seen.count(b"\x1b[H") >= 4)
            self.assertTrue(seen.startswith(b"\x1b[?1049h"), seen)
            self.assertIn(b"\x1b[32mrunning", seen)
            self.assertIn(b"1 device, 1 running, ", seen)
            os.write(terminal, end)
            self.check_end(top, terminal)

    def test_a_signal_ends_it_too(self):
        top, terminal = self.start_on_terminal()
        self.read_until(terminal, lambda seen: b"0 devices" in seen)
        top.terminate()
        self.check_end(top, terminal)

    def test_it_keeps_to_the_window_and_to_no_color(self):
        for number in range(8):
            self.client.create(f"a-device-with-a-long-name-{number}")
        top, terminal = self.start_on_terminal("--interval", "60", size=(6, 40), NO_COLOR="1")
        seen = self.read_until(terminal, lambda seen: b"more\x1b[K\x1b[J" in seen).decode()
        self.assertIn("and 5 more", seen)
        lines = re.split(r"\r+\n", re.sub(r"\x1b\[[?0-9]*[A-Za-z]", "", seen))
        self.assertEqual(len(lines), 6)
        self.assertLessEqual(max(map(len, lines)), 40)
        self.assertNotRegex(seen, r"\x1b\[[0-9]+m")
        ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 100, 0, 0))
        top.send_signal(signal.SIGWINCH)
        seen = self.read_until(terminal, lambda seen: b"name-7" in seen and seen.endswith(b"\x1b[J"))
        self.assertNotIn(b"more", seen)
        os.write(terminal, b"q")
        self.check_end(top, terminal)

    def test_a_daemon_that_goes_ends_it(self):
        top, terminal = self.start_on_terminal("--interval", "0.2")
        self.read_until(terminal, lambda seen: b"0 devices" in seen)
        self.kill_daemon()
        seen = self.read_until(terminal, lambda seen: b"`ensembled &`" in seen)
        self.assertLess(seen.index(b"\x1b[?1049l"), seen.index(b"no daemon"))
        self.assertEqual(top.wait(PATIENCE), 125)
