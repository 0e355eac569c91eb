"""Programs that clients run in devices. Lane P, with the real guest."""

import os
import pty
import queue
import signal
import subprocess
import termios
import threading
import time

import grpc

from ensemble.v1 import console_pb2, device_pb2, devices_pb2, exec_pb2
from harness import PATIENCE, DaemonTest, eventually

PROGRAM = os.environ["ENSEMBLE"]
Begin = exec_pb2.RunRequest.Begin
Request = exec_pb2.RunRequest


class Run:
    """One call of Exec.Run."""

    def __init__(self, client, *command, name="devices/one", timeout=PATIENCE, begin=None, read=True, **fields):
        self.requests = queue.Queue()
        self.started = self.ended = self.error = None
        self.out, self.err, self.over = b"", b"", threading.Event()
        self.send(begin=begin or Begin(name=name, command=command, **fields))
        self.call = client.exec.Run(iter(self.requests.get, None), timeout=timeout)
        self.reader = threading.Thread(target=self.read, daemon=True)
        if read:
            self.reader.start()

    def send(self, **fields):
        self.requests.put(Request(**fields))
        return self

    def end_input(self):
        return self.send(end_of_input=True)

    def read(self):
        try:
            for response in self.call:
                kind = response.WhichOneof("response")
                if kind == "started":
                    assert self.started is None
                    self.started = response.started
                elif kind == "ended":
                    self.ended = response.ended
                elif kind == "standard_output":
                    self.out += response.standard_output
                else:
                    self.err += response.standard_error
        except grpc.RpcError as error:
            self.error = error
        self.over.set()

    def wait(self):
        assert self.over.wait(PATIENCE + 5), "the call hangs"
        self.requests.put(None)
        return self

    def code(self):
        self.wait()
        assert self.error is None, self.error
        return self.ended.exit_code if self.ended.WhichOneof("status") == "exit_code" else -self.ended.signal


class Executions(DaemonTest):
    def start_daemon(self, *arguments, **_):
        super().start_daemon(*arguments, guest=None)

    def setUp(self):
        super().setUp()
        self.up("one")

    def up(self, name, **fields):
        return self.client.running(name, path="", memory_bytes=256 << 20, **fields)

    def shell(self, script, **fields):
        return Run(self.client, "sh", "-c", script, **fields)

    def alive(self):
        run = self.shell("echo alive").end_input()
        self.assertEqual((run.code(), run.out), (0, b"alive\n"))


class Programs(Executions):
    def test_a_program_has_arguments_variables_a_directory_and_an_exit_code(self):
        run = self.shell("pwd; echo $COLOUR; echo wrong >&2; exit 3", environment={"COLOUR": "blue"},
                         working_directory="/tmp").end_input()
        self.assertEqual((run.code(), run.out, run.err), (3, b"/tmp\nblue\n", b"wrong\n"))
        self.assertGreater(run.started.process_id, 1)
        run = self.shell("id -u; id -g", user_id=1000)
        self.assertEqual((run.code(), run.out), (0, b"1000\n1000\n"))
        self.assertEqual(self.shell("kill -9 $$").code(), -9)

    def test_input_goes_there_and_ends(self):
        run = Run(self.client, "wc", "-c")
        for _ in range(20):
            run.send(standard_input=b"x" * 200_000)
        run.end_input()
        self.assertEqual((run.code(), run.out.strip()), (0, b"4000000"))
        run = Run(self.client, "cat").send(standard_input=b"abc")
        run.requests.put(None)  # The client ends its half instead.
        self.assertEqual((run.code(), run.out), (0, b"abc"))

    def test_it_may_have_no_input_from_the_start(self):
        run = Run(self.client, "cat", no_input=True)
        self.assertEqual((run.code(), run.out), (0, b""))
        run = Run(self.client, "cat", no_input=True).end_input()
        self.assertEqual((run.code(), run.out), (0, b""))
        run = self.shell("sleep 60", no_input=True).send(standard_input=b"x").wait()
        self.assertEqual(run.error.code(), grpc.StatusCode.FAILED_PRECONDITION)

    def test_signals_end_it(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            run = Run(self.client, "sleep", "100")
            eventually(lambda: run.started)
            run.send(signal=number)
            self.assertEqual(run.code(), -number)

    def test_a_terminal_has_a_size_and_it_changes(self):
        size = console_pb2.TerminalSize
        run = self.shell("stty size; read x; stty size; echo wrong >&2", terminal=size(columns=100, rows=30))
        eventually(lambda: b"30 100\r\n" in run.out)
        run.send(size=size(columns=50, rows=20)).send(standard_input=b"\n")
        self.assertEqual(run.code(), 0)
        self.assertIn(b"20 50\r\n", run.out)
        self.assertIn(b"wrong", run.out)
        self.assertEqual(run.err, b"")
        run = Run(self.client, "cat", terminal=size())
        eventually(lambda: run.started)
        run.send(standard_input=b"\x03")
        self.assertEqual(run.code(), -signal.SIGINT)

    def test_much_output_arrives_whole(self):
        run = Run(self.client, "dd", "if=/dev/zero", "bs=65536", "count=320")
        self.assertEqual(run.code(), 0)
        self.assertEqual(len(run.out), 320 * 65536)

    def test_fifty_run_at_once(self):
        runs = [self.shell(f"read x; echo {number} $x") for number in range(50)]
        for run in runs:
            eventually(lambda run=run: run.started or run.error)
            run.send(standard_input=b"there\n")
        for number, run in enumerate(runs):
            self.assertEqual((run.code(), run.out), (0, f"{number} there\n".encode()))

    def test_one_runs_after_the_other(self):
        times = []
        for _ in range(21):
            start = time.monotonic()
            self.assertEqual(Run(self.client, "/bin/busybox", "true").code(), 0)
            times.append(time.monotonic() - start)
        print(f"Run of true, median of 21: {sorted(times)[10] * 1000:.1f} ms")


class Troubles(Executions):
    def refusal(self, run, code, *texts, reason=None, field=None):
        run.wait()
        self.assertIsNotNone(run.error, run.ended)

        def fail():
            raise run.error
        with self.refused(code, *texts, reason=reason, field=field):
            fail()

    def test_bad_requests_are_refused_with_field_and_value(self):
        code = grpc.StatusCode
        bad = code.INVALID_ARGUMENT
        self.refusal(Run(self.client), bad, "program to run", field="begin.command")
        self.refusal(Run(self.client, ""), bad, field="begin.command")
        self.refusal(Run(self.client, "a\0b"), bad, "NUL", field="begin.command")
        self.refusal(Run(self.client, *["x"] * 5000), bad, "5000 words", field="begin.command")
        self.refusal(Run(self.client, "x", "y" * 200_000), bad, "131072", field="begin.command")
        self.refusal(Run(self.client, "x", environment={"a=b": "c"}), bad, "a=b", field="begin.environment")
        self.refusal(Run(self.client, "x", working_directory="tmp"), bad, "'tmp'", field="begin.working_directory")
        self.refusal(Run(self.client, "x", user_id=0xffffffff), bad, field="begin.user_id")
        self.refusal(Run(self.client, "x", terminal=console_pb2.TerminalSize(columns=70000)), bad, "70000",
                     field="begin.terminal")
        for fields, field in (({"standard_input": b"x" * 300_000}, "standard_input"), ({"signal": 65}, "signal"),
                              ({"size": console_pb2.TerminalSize(rows=70000)}, "size"), ({}, "request"),
                              ({"begin": Begin(name="devices/one", command=["true"])}, "request")):
            run = Run(self.client, "sleep", "100").send(**fields)
            self.refusal(run, bad, field=field)
        run = Run(self.client, "sleep", "100").end_input().send(standard_input=b"x")
        self.refusal(run, code.FAILED_PRECONDITION, "end_of_input", reason="INPUT_ENDED")
        requests = iter([Request(signal=1)])
        with self.refused(bad, "`begin`", field="request"):
            list(self.client.exec.Run(requests, timeout=PATIENCE))
        self.alive()

    def test_what_cannot_be_run_is_told(self):
        code = grpc.StatusCode
        self.refusal(Run(self.client, "/bin/nothing"), code.NOT_FOUND, "/bin/nothing", reason="CANNOT_RUN",
                     field="begin.command")
        self.refusal(Run(self.client, "/etc"), code.PERMISSION_DENIED, "/etc", reason="CANNOT_RUN")
        self.refusal(Run(self.client, "true", working_directory="/nowhere"), code.NOT_FOUND, reason="CANNOT_RUN")

    def test_only_devices_that_run_are_asked(self):
        code = grpc.StatusCode
        self.refusal(Run(self.client, "true", name="devices/none"), code.NOT_FOUND, "'none'", reason="DEVICE_NOT_FOUND")
        self.client.create("two")
        self.refusal(Run(self.client, "true", name="devices/two"), code.FAILED_PRECONDITION, "CREATED", "start it first",
                     reason="WRONG_STATE", field="device.status.state")
        self.client.start("devices/two")  # With a kernel of its own.
        self.refusal(Run(self.client, "true", name="devices/two"), code.FAILED_PRECONDITION, reason="NO_AGENT")
        self.client.devices.PauseDevice(devices_pb2.PauseDeviceRequest(name="devices/one"), timeout=PATIENCE)
        self.refusal(Run(self.client, "true"), code.FAILED_PRECONDITION, "resume it first", reason="WRONG_STATE")

    def test_more_than_a_device_can_serve_are_refused(self):
        runs = [Run(self.client, "sleep", "100") for _ in range(10)]
        eventually(lambda: all(run.started for run in runs))
        more = [Run(self.connect(), "sleep", "100") for _ in range(115)]
        eventually(lambda: sum(run.error is not None for run in more) == 5)
        refused = [run for run in more if run.error]
        self.refusal(refused[0], grpc.StatusCode.RESOURCE_EXHAUSTED, "120", reason="TOO_MANY_CALLS")
        for run in runs + more:
            run.call.cancel()
        eventually(lambda: Run(self.client, "true").wait().ended)

    def test_a_client_that_goes_takes_its_program_along(self):
        for script in ("echo ready; sleep 1000", "trap '' HUP; echo ready; sleep 1001; sleep 1001"):
            run = self.shell(script)
            eventually(lambda run=run: run.out)
            process = run.started.process_id
            run.call.cancel()
            eventually(lambda process=process: self.shell(f"kill -0 {process}").code() != 0)

    def test_a_slow_reader_makes_nobody_else_wait(self):
        slow = self.connect(("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 4096))
        stuck = Run(slow, "yes", read=False, timeout=120)
        before = self.resident_memory()
        time.sleep(1)
        for _ in range(3):
            self.alive()
        if "ENSEMBLE_SANITIZED" not in os.environ:  # A sanitizer keeps what was freed.
            self.assertLess(self.resident_memory() - before, 16 << 20)
        stuck.reader.start()
        eventually(lambda: len(stuck.out) > 8 << 20)
        stuck.call.cancel()

    def resident_memory(self):
        with open(f"/proc/{self.daemon.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def test_input_that_is_not_taken_makes_nobody_else_wait(self):
        run = Run(self.client, "sleep", "1000")
        before = self.resident_memory()
        for _ in range(200):
            run.send(standard_input=b"x" * (256 << 10))
        time.sleep(1)
        self.alive()
        if "ENSEMBLE_SANITIZED" not in os.environ:  # A sanitizer keeps what was freed.
            self.assertLess(self.resident_memory() - before, 16 << 20)
        run.call.cancel()

    def test_calls_end_when_the_device_does(self):
        ways = {
            "stop": lambda device: self.client.devices.StopDevice(
                devices_pb2.StopDeviceRequest(name="devices/one"), timeout=PATIENCE),
            "crash": lambda device: os.kill(device.status.process_id, signal.SIGKILL),
            "reset": lambda device: self.client.devices.ResetDevice(
                devices_pb2.ResetDeviceRequest(name="devices/one"), timeout=PATIENCE),
            "delete": lambda device: self.client.devices.DeleteDevice(
                devices_pb2.DeleteDeviceRequest(name="devices/one", force=True), timeout=PATIENCE)}
        for way, act in ways.items():
            with self.subTest(way):
                device = self.client.get("devices/one")
                runs = [self.shell("while :; do echo x; sleep 0.01; done") for _ in range(3)]
                eventually(lambda runs=runs: all(run.out for run in runs))
                start = time.monotonic()
                act(device)
                for run in runs:
                    self.refusal(run, grpc.StatusCode.UNAVAILABLE, "devices/one", reason="AGENT_GONE")
                self.assertLess(time.monotonic() - start, PATIENCE - 5)
            if way == "reset":
                self.alive()
            elif way != "delete":
                self.assertIn({"stop": "STOPPED", "crash": "FAILED"}[way], runs[0].error.details())
                eventually(lambda: self.client.get("devices/one").status.state in (
                    device_pb2.DEVICE_STATE_STOPPED, device_pb2.DEVICE_STATE_FAILED))
                self.client.start("devices/one")

    def test_a_device_whose_command_ends_ends_programs(self):
        self.up("two", command=["sh", "-c", "while [ ! -e /tmp/end ]; do sleep 0.1; done; exit 4"])
        run = Run(self.client, "sleep", "100", name="devices/two")
        eventually(lambda: run.started)
        Run(self.client, "touch", "/tmp/end", name="devices/two")
        self.refusal(run, grpc.StatusCode.UNAVAILABLE, "devices/two", "STOPPED", reason="AGENT_GONE")
        device = self.client.wait_for("devices/two", device_pb2.DEVICE_STATE_STOPPED)
        self.assertEqual(device.status.exit_code, 4)

    def test_a_daemon_that_is_killed_takes_programs_along_and_its_successor_runs_others(self):
        run = Run(self.client, "sleep", "1002")
        eventually(lambda: run.started)
        self.kill_daemon()
        run.wait()
        self.assertEqual(run.error.code(), grpc.StatusCode.UNAVAILABLE)
        self.start_daemon()
        self.alive()
        eventually(lambda: self.shell(f"kill -0 {run.started.process_id}").code() != 0)

    def test_a_daemon_that_ends_says_so(self):
        run = Run(self.client, "sleep", "1003")
        eventually(lambda: run.started)
        self.daemon.terminate()
        self.refusal(run, grpc.StatusCode.UNAVAILABLE, "ending")


class Verb(Executions):
    def environment(self):
        return {**os.environ, "ENSEMBLE_SOCKET": str(self.socket), "TERM": "xterm"}

    def run_program(self, *arguments, code=0, text=b""):
        done = subprocess.run([PROGRAM, "exec", *arguments], input=text, capture_output=True, timeout=PATIENCE,
                              env=self.environment(), check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def test_it_runs_programs(self):
        done = self.run_program("-e", "A=b", "-w", "/tmp", "one", "--", "sh", "-c", "pwd; echo $A; echo no >&2; exit 7",
                                code=7)
        self.assertEqual((done.stdout, done.stderr), (b"/tmp\nb\n", b"no\n"))
        self.assertEqual(self.run_program("-i", "one", "--", "cat", text=b"hello" * 100_000).stdout, b"hello" * 100_000)
        self.assertEqual(self.run_program("one", "--", "cat", text=b"none of it").stdout, b"")
        self.assertEqual(self.run_program("-u", "5:6", "one", "--", "sh", "-c", "id -u; id -g").stdout, b"5\n6\n")
        uid = self.client.get("devices/one").uid
        self.run_program(uid[:8], "--", "true")

    def test_exit_codes_say_what_happened(self):
        self.run_program("one", "--", "sh", "-c", "kill -9 $$", code=137)
        self.assertIn(b"/none", self.run_program("one", "--", "/none", code=127).stderr)
        self.run_program("one", "--", "/etc", code=126)
        for arguments, text in ((("none", "--", "true"), b"there is no device"), (("one",), b"which program"),
                                (("-e", "x", "one", "--", "true"), b"NAME=VALUE"),
                                (("-u", "me", "one", "--", "true"), b"UID:GID"),
                                (("-t", "one", "--", "true"), b"terminal"),
                                (("-w", "tmp", "one", "--", "true"), b"absolute path")):
            self.assertIn(text, self.run_program(*arguments, code=125).stderr)

    def test_signals_go_to_the_program(self):
        for typed in (None, b"x" * (8 << 20)):
            with subprocess.Popen([PROGRAM, "exec", *(["-i"] if typed else []), "one", "--",
                                   "sh", "-c", "trap 'exit 13' INT; echo ready; while :; do sleep 0.1; done"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment()) as program:
                if typed:
                    threading.Thread(target=self.write_all, args=(program.stdin, typed), daemon=True).start()
                self.assertEqual(program.stdout.readline(), b"ready\n")
                program.send_signal(signal.SIGINT)
                # Behind input that is not taken no signal arrives, and the call is ended instead.
                self.assertEqual(program.wait(PATIENCE), 130 if typed else 13)

    def test_a_device_that_does_not_answer_keeps_nobody(self):
        for number, times in ((signal.SIGTERM, 1), (signal.SIGINT, 2)):
            with subprocess.Popen([PROGRAM, "exec", "one", "--", "sh", "-c", "echo ready; sleep 100"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment()) as program:
                self.assertEqual(program.stdout.readline(), b"ready\n")
                self.client.devices.PauseDevice(devices_pb2.PauseDeviceRequest(name="devices/one"), timeout=PATIENCE)
                for _ in range(times):
                    program.send_signal(number)
                    time.sleep(0.2)  # Two of a kind at once are one.
                self.assertEqual(program.wait(2 * PATIENCE), 128 + number)
                self.assertIn(b"given up", program.stderr.read())
            self.client.devices.ResumeDevice(devices_pb2.ResumeDeviceRequest(name="devices/one"), timeout=PATIENCE)

    def test_a_program_may_take_its_time_to_end(self):
        script = "trap 'sleep 4; exit 9' TERM; echo ready; while :; do sleep 0.1; done"
        with subprocess.Popen([PROGRAM, "exec", "one", "--", "sh", "-c", script], stdout=subprocess.PIPE,
                              env=self.environment()) as program:
            self.assertEqual(program.stdout.readline(), b"ready\n")
            program.send_signal(signal.SIGTERM)
            self.assertEqual(program.wait(PATIENCE), 9)

    def test_a_reader_that_goes_ends_it(self):
        with subprocess.Popen([PROGRAM, "exec", "one", "--", "yes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=self.environment()) as program:
            self.assertEqual(program.stdout.readline(), b"y\n")
            program.stdout.close()
            self.assertEqual((program.wait(PATIENCE), program.stderr.read()), (128 + signal.SIGPIPE, b""))

    @staticmethod
    def write_all(file, data):
        try:
            file.write(data)
        except BrokenPipeError:
            pass

    def test_a_terminal_is_passed_on(self):
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (33, 77)) if hasattr(termios, "tcsetwinsize") else subprocess.run(
            ["stty", "rows", "33", "cols", "77"], stdin=theirs, check=True)
        before = termios.tcgetattr(theirs)
        with subprocess.Popen([PROGRAM, "exec", "-it", "one", "--", "sh", "-c", "stty size; sleep 100"], stdin=theirs,
                              stdout=theirs, stderr=theirs, env=self.environment()) as program:
            seen = b""
            while b"33 77" not in seen:
                seen += os.read(ours, 1000)
            os.write(ours, b"\x03")
            self.assertEqual(program.wait(PATIENCE), 130)
        self.assertEqual(termios.tcgetattr(theirs), before)
        os.close(theirs)
        os.close(ours)

    def test_a_device_that_stops_ends_it(self):
        with subprocess.Popen([PROGRAM, "exec", "-i", "one", "--", "cat"], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=self.environment()) as program:
            time.sleep(0.5)
            self.client.stop("devices/one")
            self.assertIn(b"STOPPED", program.stderr.read())
            self.assertEqual(program.wait(PATIENCE), 125)
