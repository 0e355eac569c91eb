"""Files that clients copy into devices and out of them. Lane P, with the real guest."""

import fcntl
import hashlib
import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import grpc

from ensemble.v1 import devices_pb2, files_pb2
from exec_test import PROGRAM, Executions
from google.protobuf import timestamp_pb2
from harness import PATIENCE, eventually

Begin = files_pb2.PushRequest.Begin
Request = files_pb2.PushRequest
CODE = grpc.StatusCode


def digest(data):
    return hashlib.sha256(data).digest()


def contents(size):
    return random.Random(size).randbytes(size)


class Copies(Executions):
    def begin(self, path, data=b"", **fields):
        return Begin(**{"name": "devices/one", "path": path, "size": len(data), "sha256": digest(data), **fields})

    def push(self, path, data, piece=1 << 20, **fields):
        begin = self.begin(path, data, **fields)

        def requests():
            yield Request(begin=begin)
            for at in range(begin.offset, len(data), piece):
                yield Request(data=data[at:at + piece])
        return self.client.files.Push(requests(), timeout=120)

    def pull(self, path, client=None, **fields):
        entry, end, data = None, None, []
        for response in (client or self.client).files.Pull(
                files_pb2.PullRequest(name="devices/one", path=path, **fields), timeout=120):
            kind = response.WhichOneof("response")
            if kind == "data":
                data.append(response.data)
            elif kind == "entry":
                entry = response.entry
            else:
                end = response.end
        return entry, b"".join(data), end

    def listed(self, path):
        return list(self.client.files.List(files_pb2.ListFilesRequest(name="devices/one", path=path), timeout=PATIENCE))

    def stat(self, path):
        return self.client.files.Stat(files_pb2.StatRequest(name="devices/one", path=path), timeout=PATIENCE)

    def push_state(self, path, data):
        return self.client.files.GetPushState(files_pb2.GetPushStateRequest(
            name="devices/one", path=path, sha256=digest(data)), timeout=PATIENCE).received_bytes


class Files(Copies):
    def test_64_mib_there_and_back(self):
        data = contents(64 << 20)
        start = time.monotonic()
        self.assertEqual(self.push("/tmp/big", data).size, len(data))
        pushed = time.monotonic()
        entry, back, end = self.pull("/tmp/big")
        pulled = time.monotonic()
        print(f"push {len(data) / 1e6 / (pushed - start):.0f} MB/s, pull {len(data) / 1e6 / (pulled - pushed):.0f} MB/s")
        self.assertTrue(back == data)
        self.assertEqual((end.size, end.sha256, entry.size), (len(data), digest(data), len(data)))
        run = self.shell("sha256sum < /tmp/big")
        self.assertEqual((run.code(), run.out.split()[0]), (0, digest(data).hex().encode()))

    def test_a_file_has_what_it_was_given(self):
        self.push("/tmp/a/b/file", b"hello", mode=0o640, user_id=5, group_id=6, make_directories=True,
                  modification_time=timestamp_pb2.Timestamp(seconds=1_000_000_000, nanos=5))
        entry = self.stat("/tmp/a/b/file")
        self.assertEqual((entry.name, entry.type, entry.size, entry.mode, entry.user_id, entry.group_id,
                          entry.modification_time.seconds),
                         (b"file", files_pb2.FILE_TYPE_REGULAR, 5, 0o640, 5, 6, 1_000_000_000))
        self.push("/tmp/a/empty", b"")
        self.assertEqual(self.pull("/tmp/a/empty")[1], b"")
        self.assertEqual([(each.name, each.type) for each in self.listed("/tmp/a")],
                         [(b"b", files_pb2.FILE_TYPE_DIRECTORY), (b"empty", files_pb2.FILE_TYPE_REGULAR)])
        self.assertEqual([each.name for each in self.listed("/tmp/a/empty")], [b"empty"])
        self.push("/tmp/a/secret", b"", mode=0)
        self.assertEqual([self.stat(f"/tmp/a/{name}").mode for name in ("secret", "empty")], [0, 0o644])
        self.push("/tmp/a/empty", b"replaced")
        self.assertEqual(self.pull("/tmp/a/empty", offset=2)[1], b"placed")

    def test_many_entries_are_listed(self):
        self.assertEqual(self.shell("mkdir /tmp/many; cd /tmp/many; seq 1 500 | xargs touch").code(), 0)
        self.assertEqual(sorted(int(each.name) for each in self.listed("/tmp/many")), list(range(1, 501)))

    def test_several_at_once(self):
        parts = [contents(3_000_000 + number) for number in range(8)]
        threads = [threading.Thread(target=self.push, args=(f"/tmp/{number}", data))
                   for number, data in enumerate(parts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number, data in enumerate(parts):
            self.assertTrue(self.pull(f"/tmp/{number}")[1] == data)

    def test_a_broken_push_is_gone_on_with(self):
        data = contents(12 << 20)
        self.assertEqual(self.push_state("/tmp/file", data), 0)

        def requests():
            yield Request(begin=self.begin("/tmp/file", data))
            for at in range(0, 5 << 20, 1 << 20):
                yield Request(data=data[at:at + (1 << 20)])
            time.sleep(100)
        call = self.client.files.Push.future(requests(), timeout=120)
        eventually(lambda: self.push_state("/tmp/file", data) == 5 << 20)
        call.cancel()
        with self.refused(CODE.NOT_FOUND, "/tmp/file", field="path"):
            self.stat("/tmp/file")
        there = self.push_state("/tmp/file", data)
        self.assertEqual(there, 5 << 20)

        def gone_on():
            try:
                return self.push("/tmp/file", data, offset=there).size == len(data)
            except grpc.RpcError as error:  # The broken one is still being told that it is.
                if "another push" not in error.details():
                    raise
                return False
        eventually(gone_on)
        self.assertTrue(self.pull("/tmp/file")[1] == data)


class Troubles(Copies):
    def test_bad_requests_are_refused_with_field_and_value(self):
        bad = CODE.INVALID_ARGUMENT
        for field, change in (("path", {"path": "tmp/x"}), ("path", {"path": ""}), ("path", {"path": "/tmp/"}),
                              ("path", {"path": "/" + "x" * 5000}), ("mode", {"mode": 0o10000}),
                              ("sha256", {"sha256": b"short"}), ("offset", {"offset": 6}), ("size", {"size": 1 << 63}),
                              ("type", {"type": files_pb2.FILE_TYPE_OTHER}), ("target", {"target": "x"}),
                              ("modification_time", {"modification_time": timestamp_pb2.Timestamp(seconds=1 << 40)}),
                              ("modification_time", {"modification_time": timestamp_pb2.Timestamp(seconds=-1 << 63)}),
                              ("modification_time", {"modification_time": timestamp_pb2.Timestamp(nanos=-1)})):
            fields = {"name": "devices/one", "path": "/tmp/x", "size": 5, "sha256": digest(b"hello"), **change}
            with self.subTest(field), self.refused(bad, field=f"begin.{field}"):
                self.client.files.Push(iter([Request(begin=Begin(**fields)), Request(data=b"hello")]), timeout=PATIENCE)
        begin = Request(begin=self.begin("/tmp/x", b"hello"))
        for requests, field in (([Request(data=b"x")], "request"), ([begin, begin], "request"),
                                ([begin, Request(data=b"")], "data"), ([begin, Request(data=b"x" * (1 << 20 | 1))], "data"),
                                ([begin, Request(data=b"hello!")], "data"), ([begin, Request(data=b"hell")], "data")):
            with self.subTest(field), self.refused(bad, field=field):
                self.client.files.Push(iter(requests), timeout=PATIENCE)
        for call in (self.pull, self.listed, self.stat):
            with self.refused(bad, "'etc'", field="path"):
                call("etc")
        self.assertEqual([each.name for each in self.listed("/tmp") if each.name == b"x"], [])

    def test_a_wrong_checksum_leaves_nothing(self):
        self.push("/tmp/file", b"before")
        with self.refused(CODE.DATA_LOSS, "checksum", "/tmp/file", reason="CANNOT_WRITE"):
            self.push("/tmp/file", b"hello", sha256=digest(b"other"))
        self.assertEqual(self.pull("/tmp/file")[1], b"before")
        self.assertEqual([each.name for each in self.listed("/tmp")], [b"file"])

    def test_what_the_device_refuses_is_told(self):
        with self.refused(CODE.NOT_FOUND, "/none", reason="CANNOT_READ", field="path"):
            self.pull("/none")
        with self.refused(CODE.NOT_FOUND, "/none", reason="CANNOT_LIST", field="path"):
            self.listed("/none")
        with self.refused(CODE.NOT_FOUND, "/none", reason="CANNOT_STAT"):
            self.stat("/none")
        with self.refused(CODE.NOT_FOUND, "/none/file", reason="CANNOT_WRITE", field="begin.path"):
            self.push("/none/file", b"hello")
        for call in (lambda: self.pull("/etc"), lambda: self.push("/etc", b"hello"),
                     lambda: self.pull("/etc/passwd", offset=1 << 40)):
            with self.refused(CODE.FAILED_PRECONDITION, "/etc"):
                call()
        self.client.create("two")
        for name, code in (("devices/two", CODE.FAILED_PRECONDITION), ("devices/none", CODE.NOT_FOUND)):
            with self.refused(code, name.removeprefix("devices/")):
                self.client.files.Stat(files_pb2.StatRequest(name=name, path="/"), timeout=PATIENCE)

    def test_a_file_that_changes_meanwhile_is_told(self):
        self.push("/tmp/big", contents(32 << 20))
        slow = self.connect(("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 4096))
        call = slow.files.Pull(files_pb2.PullRequest(name="devices/one", path="/tmp/big"), timeout=120)
        self.assertTrue(next(call).HasField("entry"))
        self.assertEqual(self.shell("echo x | dd of=/tmp/big conv=notrunc").code(), 0)
        with self.refused(CODE.ABORTED, "/tmp/big", "changed", reason="CANNOT_READ"):
            for _ in call:
                pass

    def test_going_on_with_nothing_leaves_nothing(self):
        with self.refused(CODE.FAILED_PRECONDITION, "/tmp/file", reason="CANNOT_WRITE"):
            self.push("/tmp/file", b"hello", offset=2)
        run = self.shell("ls -A /tmp")
        self.assertEqual((run.code(), run.out), (0, b""))

    def test_a_slow_reader_makes_nobody_wait(self):
        self.push("/tmp/big", contents(32 << 20))
        slow = self.connect(("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 4096))
        call = slow.files.Pull(files_pb2.PullRequest(name="devices/one", path="/tmp/big"), timeout=120)
        time.sleep(1)
        self.assertEqual(self.stat("/tmp/big").size, 32 << 20)
        self.assertEqual(self.pull("/etc/passwd")[1], self.pull("/etc/passwd")[1])
        self.assertEqual(sum(len(response.data) for response in call), 32 << 20)

    def test_calls_end_when_the_device_does(self):
        data = contents(64 << 20)
        self.push("/tmp/big", data)
        device = self.client.get("devices/one")
        errors, begun = [], [threading.Event(), threading.Event()]

        def work(call):
            try:
                call()
            except grpc.RpcError as error:
                errors.append(error)

        def slow_push():
            def requests():
                yield Request(begin=self.begin("/tmp/other", data))
                for at in range(0, len(data), 1 << 20):
                    yield Request(data=data[at:at + (1 << 20)])
                    time.sleep(0.1)
                    if at > 8 << 20:  # More than what the channel takes by itself.
                        begun[0].set()
            self.client.files.Push(requests(), timeout=120)

        def slow_pull():
            slow = self.connect(("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 4096))
            for _ in slow.files.Pull(files_pb2.PullRequest(name="devices/one", path="/tmp/big"), timeout=120):
                begun[1].set()
                time.sleep(0.1)
        threads = [threading.Thread(target=work, args=(call,)) for call in (slow_push, slow_pull)]
        for thread in threads:
            thread.start()
        for event in begun:
            self.assertTrue(event.wait(PATIENCE))
        os.kill(device.status.process_id, signal.SIGKILL)
        for thread in threads:
            thread.join(30)
            self.assertFalse(thread.is_alive())
        self.assertEqual([error.code() for error in errors], [CODE.UNAVAILABLE] * 2)

    def test_a_killed_daemon_leaves_a_push_to_go_on_with(self):
        data = contents(8 << 20)

        def requests():
            yield Request(begin=self.begin("/tmp/file", data))
            yield Request(data=data[:1 << 20])
            time.sleep(100)
        call = self.client.files.Push.future(requests(), timeout=120)
        eventually(lambda: self.push_state("/tmp/file", data) == 1 << 20)
        self.kill_daemon()
        self.assertEqual(call.exception(PATIENCE).code(), CODE.UNAVAILABLE)
        self.start_daemon()
        self.assertEqual(self.push_state("/tmp/file", data), 1 << 20)
        self.assertEqual(self.push("/tmp/file", data, offset=1 << 20).size, len(data))


class Verbs(Copies):
    def setUp(self):
        super().setUp()
        self.here = tempfile.TemporaryDirectory(prefix="ensemble-copies-")
        self.addCleanup(self.here.cleanup)

    def run_program(self, *arguments, code=0):
        done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=120, check=False,
                              cwd=self.here.name, env={**os.environ, "ENSEMBLE_SOCKET": str(self.socket)})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def path(self, name):
        return Path(self.here.name, name)

    def test_files_go_there_and_back(self):
        data = contents(5_000_000)
        self.path("file").write_bytes(data)
        self.path("other").write_bytes(b"")
        self.path("file").chmod(0o754)
        os.utime(self.path("file"), (1_000_000_000, 1_000_000_000))
        done = self.run_program("push", "-o", "json", "file", "other", "one:/tmp")
        told = json.loads(done.stdout)
        self.assertEqual([(each["path"], each["bytes"]) for each in told], [("/tmp/file", 5_000_000), ("/tmp/other", 0)])
        self.assertEqual((told[0]["sha256"], done.stderr), (digest(data).hex(), ""))
        self.assertEqual(self.run_program("push", "file", "one:/tmp/again").stdout, "")
        self.run_program("pull", "one:/tmp/again", "back")
        self.assertTrue(self.path("back").read_bytes() == data)
        self.assertEqual((self.path("back").stat().st_mode & 0o7777, int(self.path("back").stat().st_mtime)),
                         (0o754, 1_000_000_000))
        self.path("folder").mkdir()
        self.run_program("pull", "one:/tmp/file", "one:/tmp/other", "folder")
        self.assertEqual(sorted(os.listdir(self.path("folder"))), ["file", "other"])

    def test_directories_go_there_and_back(self):
        tree = self.path("tree")
        (tree / "inner" / "empty").mkdir(parents=True)
        (tree / "inner" / "file").write_bytes(b"hello")
        (tree / "inner").chmod(0o750)
        os.utime(tree / "inner", (1_000_000_000, 1_000_000_000))
        os.mkfifo(tree / "fifo")
        (tree / "link").symlink_to("inner/file")
        self.assertIn("fifo", self.run_program("push", "-r", "tree", "one:/tmp").stderr)
        self.run_program("push", "-r", "tree", "one:/tmp")  # Once more, over what is there.
        self.assertEqual(self.stat("/tmp/tree/inner").modification_time.seconds, 1_000_000_000)
        self.assertEqual(self.stat("/tmp/tree/link").target, b"inner/file")
        self.assertEqual(self.stat("/tmp/tree/inner").mode, 0o750)
        told = self.pull_with_fifo("fifo\x1b[2J")
        self.assertIn("fifo?[2J", told)
        self.assertNotIn("\x1b", told)
        back = self.path("back")
        self.assertEqual((back / "inner" / "file").read_bytes(), b"hello")
        self.assertEqual(os.readlink(back / "link"), "inner/file")
        self.assertTrue((back / "inner" / "empty").is_dir())
        self.run_program("pull", "-r", "one:/tmp/tree", "back")
        self.assertEqual((back / "tree" / "inner" / "file").read_bytes(), b"hello")

    def pull_with_fifo(self, name):
        self.assertEqual(self.shell(f"mkfifo '/tmp/tree/{name}'").code(), 0)
        told = self.run_program("pull", "-r", "one:/tmp/tree", "back").stderr
        self.assertEqual(self.shell(f"rm '/tmp/tree/{name}'").code(), 0)
        return told

    def test_a_broken_pull_is_gone_on_with(self):
        data = contents(3_000_000)
        self.push("/tmp/file", data)
        part = self.partial("/tmp/file", "file")
        part.write_bytes(data[:1_000_000])
        told = json.loads(self.run_program("pull", "--resume", "-o", "json", "one:/tmp/file", "file").stdout)
        self.assertEqual(told[0]["resumedFrom"], 1_000_000)
        self.assertTrue(self.path("file").read_bytes() == data)
        part.write_bytes(b"x" * 1_000_000)
        self.assertIn("checksum", self.run_program("pull", "--resume", "one:/tmp/file", "file", code=125).stderr)
        self.assertFalse(part.exists())
        self.assertTrue(self.path("file").read_bytes() == data)

    def partial(self, path, name):
        bits = int.from_bytes(digest(f"devices/one:{path}".encode())[:8], "little")
        return self.path(f".{name}.{bits:016x}.part")

    def test_what_lies_in_a_pulls_way_is_not_written_to(self):
        data = contents(1_000_000)
        self.push("/tmp/file", data)
        part = self.partial("/tmp/file", "file")
        self.path("other").write_bytes(b"other")
        for make in (lambda: os.mkfifo(part), lambda: part.symlink_to("other"), lambda: os.link(self.path("other"), part)):
            make()
            self.run_program("pull", "--resume", "one:/tmp/file", "file")
            self.assertTrue(self.path("file").read_bytes() == data)
            self.assertEqual(self.path("other").read_bytes(), b"other")
        with open(part, "wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.assertIn("another pull", self.run_program("pull", "one:/tmp/file", "file", code=125).stderr)

    def test_files_that_are_called_like_partial_ones_are_copied(self):
        self.assertEqual(self.shell("mkdir /tmp/tree; cd /tmp/tree; echo a > .x.part; echo b > x").code(), 0)
        self.push("/tmp/tree/" + "n" * 255, b"long")
        self.run_program("pull", "-r", "one:/tmp/tree", "back")
        self.assertEqual(sorted(each.name for each in self.path("back").iterdir()), [".x.part", "n" * 255, "x"])
        self.assertEqual((self.path("back") / ".x.part").read_bytes(), b"a\n")

    def test_what_cannot_be_copied_is_told(self):
        self.path("file").write_bytes(b"hello")
        self.path("folder").mkdir()
        for arguments, text in ((("push", "none", "one:/tmp"), "'none'"), (("push", "file", "one"), "DEVICE:PATH"),
                                (("push", "file", "one:tmp"), "absolute"), (("push", "file", "none:/tmp"), "no device"),
                                (("push", "folder", "one:/tmp"), "-r"), (("push", "file"), "FILE"),
                                (("pull", "one:/none", "x"), "/none"), (("pull", "one:/etc", "x"), "-r"),
                                (("pull", "file", "x"), "DEVICE:PATH"), (("pull", "one:/etc/passwd", "/none/x"), "/none")):
            error = self.run_program(*arguments, code=125).stderr
            self.assertIn(text, error)
            self.assertTrue(error.startswith("ensemble: "), error)
        self.assertFalse(self.path("x").exists())
