"""The verbs of `ensemble` that speak to the daemon."""

import json
import os
import pty
import signal
import subprocess
import tempfile
import termios
import time

from harness import GUESTS, PATIENCE, DaemonTest, eventually, is_alive

PROGRAM = os.environ["ENSEMBLE"]


class Verbs(DaemonTest):
    def environment(self, **more):
        return {**os.environ, "ENSEMBLE_SOCKET": str(self.socket), "TERM": "xterm", **more}

    def run_program(self, *arguments, code=0, text="", **environment):
        done = subprocess.run([PROGRAM, *arguments], input=text, capture_output=True, text=True, timeout=PATIENCE,
                              env=self.environment(**environment), check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def up(self, *arguments, kernel="loop"):
        return self.run_program("up", "watch", "--kernel", f"{GUESTS}/{kernel}.elf", "--memory", "32M",
                                *arguments).stdout.split()

    def listed(self, *arguments):
        return json.loads(self.run_program("ls", "-o", "json", *arguments).stdout)

    def names(self, *arguments):
        return [device["name"].removeprefix("devices/") for device in self.listed(*arguments)]

    def test_devices_come_are_listed_and_go(self):
        self.assertEqual(self.up("--name", "lab", "-l", "suite=nightly"), ["lab"])
        self.assertEqual(sorted(self.up("--name", "many", "--count", "3")), ["many-1", "many-2", "many-3"])
        self.assertEqual(self.names("-l", "suite=nightly"), ["lab"])
        table = self.run_program("ls").stdout
        self.assertEqual(table.splitlines()[0].split(), ["NAME", "STATE", "PROFILE", "CPUS", "MIB", "AGE"])
        self.assertIn("running", table)
        self.assertNotIn("\x1b", table)
        self.run_program("stop", "many-1", "many-2")
        running = self.run_program("ps").stdout
        self.assertIn("many-3", running)
        self.assertNotIn("many-1", running)
        self.assertIn("stopped by a call", self.run_program("ls", "-o", "wide").stdout)
        self.assertIn("state: DEVICE_STATE_RUNNING", self.run_program("inspect", "lab").stdout)
        self.run_program("rm", "-f", "-l", "state!=CREATED")
        self.assertEqual(self.names(), [])

    def test_what_follows_two_hyphens_is_the_command(self):
        self.up("--name", "lab", "--", "/bin/busybox", "sh", "-c", "ls -l")
        self.assertEqual(self.listed()[0]["spec"]["command"], ["/bin/busybox", "sh", "-c", "ls -l"])

    def test_an_id_selects_too(self):
        self.up("--name", "lab")
        uid = self.listed()[0]["uid"]
        for verb in ("pause", "resume", "reset", "stop", "start"):
            self.assertEqual(self.run_program(verb, uid[:8]).stdout, "lab\n")
        self.run_program("logs", uid[:8])
        self.assertEqual(self.listed()[0]["status"]["state"], "DEVICE_STATE_RUNNING")

    def test_a_device_that_is_selected_twice_is_one(self):
        self.up("--name", "lab", "-l", "a=b")
        uid = self.listed()[0]["uid"]
        twice = ("lab", uid[:8], "-l", "a=b")
        self.assertEqual(self.names(*twice), ["lab"])
        self.assertEqual(self.run_program("pause", *twice).stdout, "lab\n")

    def test_what_cannot_be_done_is_told(self):
        self.up("--name", "lab")
        cases = {("stop", "none"): "there is no device 'none'", ("stop",): "name a device",
                 ("stop", "-l", "a=b"): "no device matches 'a=b'", ("rm", "lab"): "stop it first, or give the option --force\n",
                 ("up", "no-such"): "ensemble profile list", ("up", "watch", "--name", "lab"): "'lab' already",
                 ("up", "watch", "--memory", "much"): "--memory", ("up", "watch", "--disk", "/none"): "/none",
                 ("stop", "--", "lab"): "only `up` and `exec`", ("logs", "none"): "there is no device", ("attach", "none"): "there is no device",
                 ("ls", "-o", "xml"): "xml", ("ls", "-l", "state=up"): "state=up"}
        for arguments, text in cases.items():
            done = self.run_program(*arguments, code=125)
            self.assertIn(text, done.stderr)
            self.assertTrue(done.stderr.startswith("ensemble: "), done.stderr)
        self.assertEqual(self.names(), ["lab"])

    def test_without_a_daemon_it_says_how_to_start_one(self):
        self.kill_daemon()
        for arguments in (("ls",), ("up", "phone"), ("attach", "one"), ("events",)):
            error = self.run_program(*arguments, code=125).stderr
            self.assertIn("`ensembled &`", error)
            self.assertIn(str(self.socket), error)

    def test_logs(self):
        self.up("--name", "lab", "--restart", "never", kernel="hello")
        eventually(lambda: self.listed()[0]["status"]["state"] == "DEVICE_STATE_STOPPED")
        self.assertIn("hello", self.run_program("logs", "lab").stdout)
        self.assertEqual(len(self.run_program("logs", "-n", "1", "lab").stdout.splitlines()), 1)

    def test_events(self):
        with subprocess.Popen([PROGRAM, "events", "--json"], stdout=subprocess.PIPE, text=True,
                              env=self.environment()) as events:
            self.assertEqual(json.loads(events.stdout.readline())["kind"], "KIND_CURRENT")
            self.up("--name", "lab")
            self.assertEqual(json.loads(events.stdout.readline())["device"]["name"], "devices/lab")
            events.send_signal(signal.SIGINT)

    def test_a_console_by_pipe(self):
        self.up("--name", "lab", kernel="echo")
        with subprocess.Popen([PROGRAM, "attach", "lab", "--scrollback", "100"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, env=self.environment()) as console:
            console.stdin.write(b"abc")
            console.stdin.flush()
            seen = b""
            while b"abc" not in seen:
                seen += os.read(console.stdout.fileno(), 1000)
            self.run_program("stop", "lab")
            self.assertEqual(console.wait(PATIENCE), 0)

    def test_who_only_looks_types_nothing(self):
        self.up("--name", "lab", kernel="echo")
        with subprocess.Popen([PROGRAM, "attach", "lab", "--read-only", "--scrollback", "100"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, env=self.environment()) as console:
            console.stdin.write(b"abc")
            console.stdin.flush()
            self.assertIn(b"ready", os.read(console.stdout.fileno(), 1000))
            with self.assertRaises(subprocess.TimeoutExpired):
                console.wait(1)
            self.run_program("stop", "lab")
            self.assertEqual(console.wait(PATIENCE), 0)

    def test_a_signal_ends_what_waits_for_a_device_that_does_not_read(self):
        self.up("--name", "lab", kernel="loop")
        with tempfile.TemporaryFile() as typed:
            typed.write(b"x" * (64 << 20))
            typed.seek(0)
            with subprocess.Popen([PROGRAM, "attach", "lab"], stdin=typed, env=self.environment()) as console:
                time.sleep(2)
                self.assertIsNone(console.poll())
                console.terminate()
                try:
                    self.assertEqual(console.wait(PATIENCE), 0)
                finally:
                    console.kill()

    def test_a_console_on_a_terminal_is_left_with_a_key(self):
        self.up("--name", "lab", kernel="echo")
        process = int(self.listed()[0]["status"]["processId"])
        ours, theirs = pty.openpty()
        modes = termios.tcgetattr(theirs)
        modes[3] &= ~termios.ECHO  # What is seen comes from the device.
        termios.tcsetattr(theirs, termios.TCSANOW, modes)
        with subprocess.Popen([PROGRAM, "attach", "lab"], stdin=theirs, stdout=theirs, stderr=theirs,
                              env=self.environment()) as console:
            os.close(theirs)
            seen = b""
            while b"shows the keys" not in seen:
                seen += os.read(ours, 1000)
            time.sleep(0.1)
            os.write(ours, b"xyz")
            while b"xyz" not in seen:
                seen += os.read(ours, 1000)
            os.write(ours, b"\x01x")
            self.assertEqual(console.wait(PATIENCE), 0)
        os.close(ours)
        self.assertTrue(is_alive(process))

    def test_options_of_the_daemons_place_stand_before_or_behind_the_verb(self):
        self.up("--name", "lab")
        self.assertNotIn("`force`", self.run_program("rm", "lab", code=125).stderr)
        for arguments in (("--socket", self.socket, "ps"), ("ps", "--socket", self.socket), (f"--socket={self.socket}", "ps")):
            self.assertIn("lab", self.run_program(*arguments, ENSEMBLE_SOCKET="/none").stdout)
        self.run_program("--socket", self.socket, "up", "watch", "--kernel", f"{GUESTS}/loop.elf", "--memory", "32M",
                         "--name", "two", "--", "/bin/ls", "--socket", "x", ENSEMBLE_SOCKET="/none")
        self.assertEqual(self.listed("two")[0]["spec"]["command"], ["/bin/ls", "--socket", "x"])
        for arguments in (("--address", "127.0.0.1:1", "ls"), ("ls", "--address", "127.0.0.1:1")):
            self.assertIn("127.0.0.1:1", self.run_program(*arguments, code=125).stderr)
        both = self.run_program("--socket", "/none", "--address", "127.0.0.1:1", "ls", code=125).stderr
        self.assertIn("--socket excludes --address", both)
        self.assertIn("--tls-certificate and --tls-key belong together", self.run_program(
            "--address", "127.0.0.1:1", "--tls-key", "/none", "ls", code=125).stderr)
        for verb in (("doctor",), ("profile", "list"), ("run", "watch")):
            self.assertIn(f"`{verb[-1] if verb[0] == 'profile' else verb[0]}` asks no daemon, and --socket=/none says",
                          self.run_program("--socket", "/none", *verb, code=125).stderr)

    def test_verbs_that_ask_no_daemon_take_no_place_of_one(self):
        for verb in (["token", "list"], ["completion", "bash"]):
            for words in (["--socket", "/x", *verb], [*verb, "--socket", "/x"]):
                told = self.run_program(*words, code=125).stderr
                self.assertIn(f"`{verb[0]}` asks no daemon, and --socket=/x says where one is", told)

    def test_completions_know_the_daemons_place_behind_a_verb(self):
        script = self.run_program("completion", "bash").stdout
        for verb in ("ls", "exec", "push"):
            self.assertIn(f"'ensemble {verb} --socket'", script)
            self.assertIn(f"'ensemble {verb} --tls-ca'", script)
        for verb in ("token", "run", "doctor"):
            self.assertNotIn(f"'ensemble {verb} --socket'", script)

    def test_every_verb_explains_itself(self):
        overview = self.run_program("--help").stdout
        for verb in ("up", "ls", "ps", "inspect", "start", "stop", "pause", "resume", "reset", "rm", "attach", "exec",
                     "push", "pull", "logs", "events", "top"):
            self.assertIn(f"\n  {verb} ", overview)
            explained = self.run_program(verb, "--help").stdout
            self.assertIn(f"ensemble {verb}", explained)
            for option in ("--socket", "--address", "--token-file", "--tls-ca", "--tls-certificate", "--tls-key"):
                self.assertEqual(explained.count(f"\n  {option} "), 1, explained)
        self.assertIn("\n  --socket ", overview)
        self.assertIn("\n  --socket ", self.run_program("input", "lab", "tap", "--help").stdout)
        self.assertNotIn("--socket", self.run_program("token", "create", "--help").stdout)
