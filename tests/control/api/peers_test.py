"""Who may connect, and connections that are not what they should be."""

import os
import pwd
import socket
import stat

import grpc

from ensemble.v1 import devices_pb2
from harness import PATIENCE, DaemonTest, eventually

STRANGER = pwd.getpwnam("nobody").pw_uid


class Peers(DaemonTest):
    def as_stranger(self, action):
        """What a process of another user gets: the errno of an OSError, or what `action` returns."""
        child = os.fork()
        if child == 0:
            code = 255
            try:
                os.setuid(STRANGER)
                code = action()
            except OSError as error:
                code = error.errno
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def connect_raw(self):
        """0 when the daemon speaks, 1 when it closes the connection."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(self.socket))
            # What an HTTP/2 client says first; the daemon answers with its settings.
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
            return 0 if connection.recv(100) else 1

    def connect_as_stranger(self):
        def connect():
            try:
                return self.connect_raw()
            except (BrokenPipeError, ConnectionResetError):
                return 1
        return self.as_stranger(connect)

    def open_up(self):
        """Takes away what files' modes keep strangers from."""
        self.folder.chmod(0o755)
        self.socket.parent.chmod(0o755)
        self.socket.chmod(0o666)

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("becoming another user takes root")
        super().setUp()

    def test_the_socket_is_its_owners_alone(self):
        self.assertEqual(stat.S_IMODE(self.socket.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.socket.parent.stat().st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(self.state.stat().st_mode), 0o700)

    def test_another_user_is_refused_whatever_the_mode(self):
        self.open_up()
        self.assertEqual(self.connect_raw(), 0)
        self.assertEqual(self.connect_as_stranger(), 1)
        self.client.create("one")

    def test_another_user_may_be_let_in(self):
        self.restart_daemon("--allow-user=nobody")
        self.open_up()
        self.assertEqual(self.connect_as_stranger(), 0)

    def test_garbage_and_idle_connections_hurt_nobody(self):
        before = len(os.listdir(f"/proc/{self.daemon.pid}/fd"))
        idle = [socket.socket(socket.AF_UNIX) for _ in range(500)]
        for connection in idle:
            connection.connect(str(self.socket))
        for text in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100000, b"PRI * HTTP/2.0\r\n"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(self.socket))
                try:
                    connection.sendall(text)
                except OSError:
                    pass
        self.client.create("one")
        for connection in idle:
            connection.close()
        eventually(lambda: len(os.listdir(f"/proc/{self.daemon.pid}/fd")) <= before)

    def test_an_unknown_method_is_told(self):
        call = self.client.channel.unary_unary("/ensemble.v1.Devices/Explode", request_serializer=bytes,
                                               response_deserializer=bytes)
        with self.assertRaises(grpc.RpcError) as caught:
            call(b"", timeout=PATIENCE)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_a_message_that_is_none_is_told(self):
        call = self.client.channel.unary_unary("/ensemble.v1.Devices/CreateDevice", request_serializer=bytes,
                                               response_deserializer=devices_pb2.DeviceEvent.FromString)
        with self.assertRaises(grpc.RpcError) as caught:
            call(b"\xff\xff\xff\xff", timeout=PATIENCE)
        self.assertNotEqual(caught.exception.code(), grpc.StatusCode.OK)
        self.assertEqual(self.client.names(), [])
