"""Who may call what over TCP, and what other users may on the Unix socket."""

import contextlib
import json
import os
import pwd
import resource
import socket
import subprocess
import time
import unittest
from pathlib import Path

import grpc

from ensemble.v1 import device_pb2, devices_pb2, host_pb2, profiles_pb2
from harness import PATIENCE, Client, DaemonTest, eventually
from reflection_test import Reflected

PROGRAM = os.environ["ENSEMBLE"]
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED
FAKE_CLOCK = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


class TcpClient(Client):
    """A client of the TCP port."""

    def __init__(self, port, token=None, credentials=None):
        options = [("grpc.use_local_subchannel_pool", 1)]
        address = f"127.0.0.1:{port}"
        channel = (grpc.secure_channel(address, credentials, options) if credentials
                   else grpc.insecure_channel(address, options))
        super().__init__(None, channel=grpc.intercept_channel(channel, Bearer(token)) if token else channel)


class Bearer(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor,
             grpc.UnaryStreamClientInterceptor):
    """Adds a token to each call."""

    def __init__(self, token):
        self.token = token

    def add(self, continuation, details, request):
        metadata = [*(details.metadata or ()), ("authorization", f"Bearer {self.token}")]
        return continuation(details._replace(metadata=metadata), request)

    intercept_unary_unary = intercept_stream_stream = intercept_unary_stream = add


def well(client):
    return client.channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=bytes,
                                      response_deserializer=bytes)(b"", timeout=PATIENCE)


class AccessTest(DaemonTest):
    def free_port(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def refused_start(self, *arguments):
        return self.refusal(*arguments, socket=self.folder / "other.sock", state=self.folder / "other")

    def token_command(self, *arguments, code=0):
        done = subprocess.run([PROGRAM, "token", *arguments, "--file", str(self.folder / "tokens.yaml")],
                              capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout.strip()

    def tcp(self, *arguments, **options):
        client = TcpClient(self.port, *arguments, **options)
        self.clients.append(client)
        return client

    def check_roles(self, viewer, operator, admin):
        """Expects that each may do what its role allows, and nothing else."""
        for client in (viewer, operator, admin):
            client.names()
            self.assertEqual(well(client), b"\x08\x01")
            self.assertIn("ensemble.v1.Devices", Reflected(client.channel).services())
        for client in (viewer, operator):
            with self.refused(DENIED, "ensemble.v1.Devices/CreateDevice takes the role admin"):
                client.create("one")
            with self.refused(DENIED, "admin"):
                client.profiles.PutProfile(profiles_pb2.PutProfileRequest(), timeout=PATIENCE)
            with self.refused(DENIED, "admin"):
                client.devices.DeleteDevice(devices_pb2.DeleteDeviceRequest(name="devices/one"), timeout=PATIENCE)
        admin.create("one")
        with self.refused(DENIED, "operator", "viewer"):
            viewer.start("devices/one")
        with self.refused(DENIED, "ensemble.v1.Console/Attach takes the role operator"):
            next(viewer.console.Attach(iter(()), timeout=PATIENCE))
        self.assertEqual(viewer.get("devices/one").status.state, device_pb2.DEVICE_STATE_CREATED)
        operator.start("devices/one")
        event = next(viewer.devices.WatchDevices(devices_pb2.WatchDevicesRequest(), timeout=PATIENCE))
        self.assertEqual(event.device.name, "devices/one")
        operator.stop("devices/one")
        admin.delete("devices/one")


class Tokens(AccessTest):
    def setUp(self):
        super().setUp()
        self.port = self.free_port()
        self.tokens = {role: self.token_command("create", role, "--role", role)
                       for role in ("viewer", "operator", "admin")}
        self.arguments = (f"--listen=127.0.0.1:{self.port}", f"--tokens={self.folder}/tokens.yaml")
        self.restart_daemon()

    def test_each_role_may_what_it_may(self):
        self.check_roles(*(self.tcp(self.tokens[role]) for role in ("viewer", "operator", "admin")))

    def test_no_token_and_wrong_ones_are_refused_everywhere(self):
        good = self.tokens["admin"]
        for token in (None, "x", good[:-1], good + "0", good.upper(), "ens_" + 64 * "0"):
            client = self.tcp(token)
            text = "bearer token"
            with self.refused(UNAUTHENTICATED, text):
                client.names()
            with self.refused(UNAUTHENTICATED, text):
                well(client)
            with self.refused(UNAUTHENTICATED, text):
                Reflected(client.channel).services()
            with self.refused(UNAUTHENTICATED, text):
                client.channel.unary_unary("/ensemble.v1.No/Thing", request_serializer=bytes,
                                           response_deserializer=bytes)(b"", timeout=PATIENCE)
            with self.refused(UNAUTHENTICATED, text):
                next(client.devices.WatchDevices(devices_pb2.WatchDevicesRequest(), timeout=PATIENCE))

    def test_other_schemes_are_refused(self):
        client = self.tcp()
        for metadata in ((("authorization", "Basic eDp5"),), (("authorization", self.tokens["admin"]),),
                         (("authorization", f"Bearer {self.tokens['admin']}"), ("authorization", "Bearer x"))):
            with self.refused(UNAUTHENTICATED, "authorization"):
                client.host.GetHost(host_pb2.GetHostRequest(), timeout=PATIENCE, metadata=metadata)

    def test_an_expired_token_is_refused(self):
        client = self.tcp(self.token_command("create", "short", "--role", "viewer", "--expires", "2s"))
        client.names()

        def refused():
            try:
                client.names()
            except grpc.RpcError as error:
                return error
            return None
        error = eventually(refused)
        self.assertEqual(error.code(), UNAUTHENTICATED)
        self.assertIn("'short' has expired at", error.details())
        self.assertIn("(expired)", self.token_command("list"))

    def test_a_revoked_token_is_refused_at_once(self):
        client = self.tcp(self.tokens["viewer"])
        client.names()
        self.token_command("revoke", "viewer")
        with self.refused(UNAUTHENTICATED):
            client.names()
        self.token_command("revoke", "viewer", code=125)
        self.tcp(self.tokens["admin"]).names()

    def test_a_damaged_file_lets_nobody_in(self):
        client = self.tcp(self.tokens["admin"])
        client.names()
        file = self.folder / "tokens.yaml"
        good = file.read_bytes()
        for text in (b"tokens: 3", b"\xff\xfe", b""):
            file.write_bytes(text)
            with self.refused(UNAUTHENTICATED):
                client.names()
        file.write_bytes(good)
        client.names()
        file.chmod(0o666)
        time.sleep(0.01)
        file.write_bytes(good)
        with self.refused(UNAUTHENTICATED):
            client.names()

    def test_the_command_line_shows_its_token(self):
        environment = {**os.environ, "ENSEMBLE_ADDRESS": f"127.0.0.1:{self.port}"}
        environment.pop("ENSEMBLE_TOKEN", None)

        def run(*arguments, code=0, **more):
            done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=PATIENCE,
                                  env={**environment, **more}, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            return done.stdout + done.stderr
        self.client.create("one")
        self.assertIn("one", run("ls", ENSEMBLE_TOKEN=self.tokens["viewer"]))
        (self.folder / "token").write_text(self.tokens["operator"] + "\n", encoding="utf-8")
        run("start", "one", "--token-file", str(self.folder / "token"))
        self.assertIn("takes a bearer token", run("ls", code=125))
        self.assertIn("takes the role admin", run("rm", "-f", "one", code=125, ENSEMBLE_TOKEN=self.tokens["viewer"]))
        self.assertIn("tokens begin with", run("ls", code=125, ENSEMBLE_TOKEN="a\nb: c"))
        # What is asked for counts more than what the environment says.
        self.assertIn("one", run("ls", "--socket", str(self.socket), ENSEMBLE_TOKEN_FILE="missing"))
        self.assertIn("excludes", run("ls", "--socket", str(self.socket), "--address", "127.0.0.1:1", code=125))
        self.assertIn("--address says which", run("ls", "--tls-ca", "ca.pem", code=125, ENSEMBLE_ADDRESS=""))
        self.assertIn("viewer", run("token", "list", "--file", str(self.folder / "tokens.yaml"),
                                    ENSEMBLE_TOKEN_FILE="missing"))
        self.assertIn("more than 16 MiB", run("ls", "--token-file", "/dev/zero", code=125))
        self.assertEqual(json.loads(run("ls", "-o", "json", ENSEMBLE_TOKEN=self.tokens["viewer"]))[0]["name"],
                         "devices/one")

    def test_idle_and_garbage_connections_hurt_nobody(self):
        idle = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(200)]
        for connection in idle[:50]:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        for connection in idle[50:100]:
            connection.sendall(b"\xff" * 1000)
        self.tcp(self.tokens["viewer"]).names()
        for connection in idle:
            connection.close()

    def test_strangers_do_not_take_the_last_descriptors(self):
        if "ENSEMBLE_SANITIZED" in os.environ:
            self.skipTest("the sanitizer of undefined behaviour needs descriptors to look at objects")

        def descriptors():
            return len(os.listdir(f"/proc/{self.daemon.pid}/fd"))
        limit = 4 * descriptors()
        resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE, (limit, limit))
        with contextlib.ExitStack() as stack:
            for _ in range(2 * limit):
                stack.enter_context(socket.create_connection(("127.0.0.1", self.port)))
            log = self.folder / "log"
            eventually(lambda: "has too many connections" in log.read_text(encoding="utf-8"))
            # Whoever has the Unix socket is served, and may start devices.
            self.assertEqual(self.connect().names(), [])
            self.client.running("one")
            self.assertLess(descriptors(), limit)

        def names():
            with contextlib.suppress(grpc.RpcError):  # What was closed may still be counted.
                return self.tcp(self.tokens["viewer"]).names()
            return None
        self.assertEqual(eventually(names), ["one"])
        self.client.stop("devices/one")


class Certificates(AccessTest):
    """Certificates that openssl makes, of clients and of the daemon."""

    def setUp(self):
        super().setUp()
        self.port = self.free_port()
        self.make_authority("ca")
        self.make_authority("foreign")
        self.make_certificate("server", "ca", "IP:127.0.0.1")
        for name, subject_name in (("viewer", "DNS:viewer.lab"), ("operator", "URI:spiffe://lab/operator"),
                                   ("admin", "DNS:x.lab"), ("stranger", "DNS:stranger.lab")):
            self.make_certificate(name, "ca", subject_name)
        self.tls = (f"--tls-certificate={self.folder}/server.pem", f"--tls-key={self.folder}/server.key")
        self.arguments = (f"--listen=127.0.0.1:{self.port}", *self.tls, f"--tls-client-ca={self.folder}/ca.pem",
                          "--certificate-role=viewer.lab:viewer",
                          "--certificate-role=spiffe://lab/operator:operator", "--certificate-role=admin:admin")
        self.restart_daemon()

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True, timeout=PATIENCE)

    def make_authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                     "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2")

    def make_certificate(self, name, authority, subject_name, *dates):
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                     "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (self.folder / "extensions").write_text(f"subjectAltName={subject_name}\n", encoding="utf-8")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                     "-CAcreateserial", "-extfile", "extensions", "-out", f"{name}.pem", *(dates or ("-days", "2")))

    def read(self, name):
        return (self.folder / name).read_bytes()

    def as_client(self, name, token=None):
        pair = (self.read(f"{name}.key"), self.read(f"{name}.pem")) if name else (None, None)
        return self.tcp(token, credentials=grpc.ssl_channel_credentials(self.read("ca.pem"), *pair))

    def test_each_role_may_what_it_may(self):
        self.check_roles(*(self.as_client(name) for name in ("viewer", "operator", "admin")))

    def test_who_shows_none_or_a_wrong_one_is_not_connected(self):
        self.make_certificate("alien", "foreign", "DNS:viewer.lab")
        self.make_certificate("late", "ca", "DNS:viewer.lab", "-days", "-1")
        for name in (None, "alien", "late"):
            client = self.as_client(name)
            with self.refused(grpc.StatusCode.UNAVAILABLE):
                client.names()
            with self.refused(grpc.StatusCode.UNAVAILABLE):
                well(client)
        plain = self.tcp()
        with self.refused(grpc.StatusCode.UNAVAILABLE):
            plain.names()
        self.as_client("viewer").names()

    def make_short_certificate(self, name, seconds):
        """One that ends so soon: openssl counts in days, from a time that libfaketime says."""
        self.make_certificate(name, "ca", "DNS:viewer.lab")
        subprocess.run(["openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                        "-CAcreateserial", "-extfile", "extensions", "-out", f"{name}.pem", "-days", "1"],
                       cwd=self.folder, check=True, capture_output=True, timeout=PATIENCE,
                       env={**os.environ, "LD_PRELOAD": str(FAKE_CLOCK), "FAKETIME": f"-{86400 - seconds}s"})

    @unittest.skipIf(FAKE_CLOCK is None, "this host has no libfaketime: the package libfaketime")
    def test_a_certificate_that_ends_ends_the_connection_too(self):
        self.arguments = (*self.arguments, "--connection-age=2")
        self.restart_daemon()
        self.make_short_certificate("short", 6)
        client = self.as_client("short")
        client.names()
        watch = client.devices.WatchDevices(devices_pb2.WatchDevicesRequest(), timeout=PATIENCE)

        def refused():
            try:
                client.names()
            except grpc.RpcError as error:
                return error
            return None
        self.assertEqual(eventually(refused).code(), grpc.StatusCode.UNAVAILABLE)
        time.sleep(3)
        with self.refused(grpc.StatusCode.UNAVAILABLE):
            client.names()
        # Who has a good one connects anew, and a stream that has begun goes on.
        other = self.as_client("viewer")
        for _ in range(8):
            other.names()
            time.sleep(0.5)
        self.client.create("one")
        self.assertTrue(eventually(lambda: next(watch).device.name == "devices/one"))

    def test_a_certificate_without_a_role_may_nothing(self):
        client = self.as_client("stranger")
        for call in (client.names, lambda: well(client), lambda: Reflected(client.channel).services()):
            with self.refused(DENIED, "no name in the client's certificate has a role"):
                call()

    def test_a_token_will_do_where_both_are_taken(self):
        token = self.token_command("create", "ci", "--role", "operator")
        self.arguments = (*self.arguments, f"--tokens={self.folder}/tokens.yaml")
        self.restart_daemon()
        self.as_client("viewer").names()
        self.as_client(None, token).names()
        with self.refused(UNAUTHENTICATED):
            self.as_client(None).names()
        with self.refused(UNAUTHENTICATED):
            self.as_client("admin", "wrong").names()
        with self.refused(DENIED, "this client is operator"):
            self.as_client("admin", token).create("one")
        self.make_certificate("alien", "foreign", "DNS:viewer.lab")
        with self.refused(grpc.StatusCode.UNAVAILABLE):
            self.as_client("alien").names()

    def test_the_command_line_shows_its_certificate(self):
        def run(name, code):
            files = [f"--tls-certificate={self.folder}/{name}.pem", f"--tls-key={self.folder}/{name}.key"]
            return subprocess.run([PROGRAM, "ls", f"--address=127.0.0.1:{self.port}",
                                   f"--tls-ca={self.folder}/ca.pem", *files], capture_output=True, text=True,
                                  timeout=PATIENCE, check=False).returncode == code
        self.assertTrue(run("viewer", 0))
        self.assertTrue(run("stranger", 125))

    def test_files_that_are_no_certificates_are_told(self):
        (self.folder / "empty.pem").write_text("nothing", encoding="utf-8")
        good = dict(argument.split("=", 1) for argument in self.arguments)
        good["--certificate-role"] = "viewer.lab:viewer"
        good["--listen"] = f"127.0.0.1:{self.free_port()}"
        for option, name, text in (("--tls-certificate", "empty.pem", "cannot serve TLS"),
                                   ("--tls-key", "viewer.key", "cannot serve TLS"),
                                   ("--tls-client-ca", "empty.pem", "cannot serve TLS"),
                                   ("--tls-key", "missing", "missing")):
            changed = {**good, option: f"{self.folder}/{name}"}
            self.assertIn(text, self.refused_start(*(f"{key}={value}" for key, value in changed.items())))


class Refusals(AccessTest):
    """Daemons that do not start, and ports that are not open."""

    def ports(self):
        """The inodes of the daemon's listening TCP sockets."""
        own = {os.readlink(entry) for entry in Path(f"/proc/{self.daemon.pid}/fd").iterdir()}
        lines = [line.split() for name in ("tcp", "tcp6")
                 for line in Path(f"/proc/{self.daemon.pid}/net/{name}").read_text(encoding="ascii").splitlines()[1:]]
        listening = "0A"
        return [fields[9] for fields in lines if fields[3] == listening and f"socket:[{fields[9]}]" in own]

    def test_no_port_is_open_unless_asked(self):
        self.assertEqual(self.ports(), [])
        self.token_command("create", "ci", "--role", "viewer")
        self.restart_daemon("--listen=127.0.0.1:0", f"--tokens={self.folder}/tokens.yaml")
        self.assertEqual(len(self.ports()), 1)

    def test_a_port_without_authentication_is_refused(self):
        port = self.free_port()
        listen = f"--listen=127.0.0.1:{port}"
        self.assertIn("not opened without authentication", self.refused_start(listen))
        self.assertIn("belong together", self.refused_start(listen, "--tls-certificate=x"))
        self.assertIn("not opened without authentication",
                      self.refused_start(listen, "--tls-certificate=x", "--tls-key=x"))
        self.assertIn("--tls-client-ca takes", self.refused_start(listen, "--tls-client-ca=x"))
        self.assertIn("at least one --certificate-role", self.refused_start(
            listen, "--tls-certificate=x", "--tls-key=x", "--tls-client-ca=x"))
        self.assertIn("there is no --listen", self.refused_start("--tokens=x"))
        with socket.socket() as probe:
            self.assertNotEqual(probe.connect_ex(("127.0.0.1", port)), 0)

    def test_tokens_go_over_loopback_only(self):
        self.token_command("create", "ci", "--role", "viewer")
        tokens = f"--tokens={self.folder}/tokens.yaml"
        for address in ("0.0.0.0:7070", "[::]:7070", "192.0.2.1:7070"):
            self.assertIn("only loopback addresses are served without TLS",
                          self.refused_start(f"--listen={address}", tokens))

    def test_bad_values_are_named(self):
        self.token_command("create", "ci", "--role", "viewer")
        tokens = f"--tokens={self.folder}/tokens.yaml"
        for address in ("7070", "localhost:7070", "127.0.0.1:70700", "127.0.0.1", "::1:70"):
            self.assertIn(f"--listen: '{address}' is no address", self.refused_start(f"--listen={address}", tokens))
        self.assertIn("'/nonexistent'", self.refused_start("--listen=127.0.0.1:0", "--tokens=/nonexistent"))
        self.assertIn("is no role", self.refused_start("--allow-user=nobody:king"))
        self.assertIn("there is no user", self.refused_start("--allow-user=not-a-user:viewer"))
        (self.folder / "tokens.yaml").chmod(0o666)
        self.assertIn("chmod 600", self.refused_start("--listen=127.0.0.1:0", tokens))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            (self.folder / "tokens.yaml").chmod(0o600)
            port = taken.getsockname()[1]
            self.assertIn("in use", self.refused_start(f"--listen=127.0.0.1:{port}", tokens))


class Users(AccessTest):
    """Roles of other users on the Unix socket."""

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("becoming another user takes root")
        super().setUp()

    def relay(self):
        """A socket whose connections reach the daemon as those of another user."""
        path = self.folder / "relay.sock"
        relay = subprocess.Popen(["/usr/bin/python3", "-c", RELAY, str(path), str(self.socket),
                                  str(pwd.getpwnam("nobody").pw_uid)])
        self.addCleanup(relay.wait)
        self.addCleanup(relay.kill)
        eventually(path.exists)
        client = Client(path)
        self.clients.append(client)
        return client

    def open_up(self):
        for path, mode in ((self.folder, 0o755), (self.socket.parent, 0o755), (self.socket, 0o666)):
            path.chmod(mode)

    def test_a_viewer_looks_only(self):
        self.restart_daemon("--allow-user=nobody:viewer")
        self.open_up()
        viewer = self.relay()
        with self.refused(DENIED, "takes the role admin, and this client is viewer", reason="ROLE_MISSING"):
            viewer.create("one")
        self.client.create("one")
        self.assertEqual(viewer.names(), ["one"])
        with self.refused(DENIED, "operator"):
            next(viewer.console.Attach(iter(()), timeout=PATIENCE))
        with self.refused(DENIED, "operator"):
            viewer.start("devices/one")
        self.assertEqual(well(viewer), b"\x08\x01")
        self.assertEqual(self.client.get("devices/one").status.state, device_pb2.DEVICE_STATE_CREATED)

    def test_an_operator_starts_and_does_not_delete(self):
        self.restart_daemon("--allow-user=nobody:operator")
        self.open_up()
        operator = self.relay()
        self.client.create("one")
        operator.start("devices/one")
        with self.refused(DENIED, "admin", reason="ROLE_MISSING"):
            operator.delete("devices/one")


RELAY = """
import os, socket, sys, threading
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
os.setuid(int(sys.argv[3]))
def copy(source, target):
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)
while True:
    client, _ = listener.accept()
    server = socket.socket(socket.AF_UNIX)
    server.connect(sys.argv[2])
    for pair in ((client, server), (server, client)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"""
