#!/usr/bin/python3
"""Boots ten watches, runs a command in each, copies a file out of each and checks it.

It needs a daemon (`ensembled &`), Debian's python3-grpcio and python3-protobuf, and the API's modules,
which the build generates; elsewhere `protoc --python_out --grpc_python_out` makes them of
control/proto/ensemble/v1/*.proto (the package ensemble-dev has them in /usr/share/ensemble/proto):

    PYTHONPATH=build/release/tests/control/api/generated examples/ten_watches.py
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import grpc

from ensemble.v1 import (device_pb2, devices_pb2, devices_pb2_grpc, exec_pb2, exec_pb2_grpc, files_pb2,
                         files_pb2_grpc, operations_pb2, operations_pb2_grpc)

SOCKET = os.environ.get("ENSEMBLE_SOCKET") or os.path.join(
    os.environ.get("XDG_RUNTIME_DIR", "/run"), "ensemble", "ensembled.sock")
COUNT = 10
PATIENCE = 60  # Seconds for any one call: none waits for ever.


class Lab:
    """What this program asks of the daemon."""

    def __init__(self, socket):
        channel = grpc.insecure_channel(f"unix:{socket}")
        self.devices = devices_pb2_grpc.DevicesStub(channel)
        self.operations = operations_pb2_grpc.OperationsStub(channel)
        self.exec = exec_pb2_grpc.ExecStub(channel)
        self.files = files_pb2_grpc.FilesStub(channel)

    def finish(self, operation):
        """Waits for a long operation, such as a start."""
        operation = self.operations.WaitOperation(
            operations_pb2.WaitOperationRequest(name=operation.name), timeout=PATIENCE)
        assert not operation.HasField("error"), operation.error.message

    def boot(self):
        """A new watch that runs, by its name: "devices/watch-3"."""
        device = self.devices.CreateDevice(devices_pb2.CreateDeviceRequest(
            device=device_pb2.Device(labels={"example": "ten-watches"}, spec=device_pb2.DeviceSpec(
                profile="watch", memory_bytes=64 << 20))), timeout=PATIENCE)
        self.finish(self.devices.StartDevice(devices_pb2.StartDeviceRequest(name=device.name), timeout=PATIENCE))
        return device.name

    def run(self, device, *command):
        """What the command prints; it must succeed."""
        requests = [exec_pb2.RunRequest(begin=exec_pb2.RunRequest.Begin(name=device, command=command)),
                    exec_pb2.RunRequest(end_of_input=True)]
        output = b""
        for response in self.exec.Run(iter(requests), timeout=PATIENCE):
            output += response.standard_output
            if response.HasField("ended"):
                assert response.ended.WhichOneof("status") == "exit_code", response.ended
                assert response.ended.exit_code == 0, response.ended
        return output

    def pull(self, device, path):
        """A file's contents, checked against the device's checksum."""
        contents = b""
        for response in self.files.Pull(files_pb2.PullRequest(name=device, path=path), timeout=PATIENCE):
            contents += response.data
            if response.HasField("end"):
                assert response.end.sha256 == hashlib.sha256(contents).digest()
        return contents

    def delete(self, device):
        self.finish(self.devices.DeleteDevice(
            devices_pb2.DeleteDeviceRequest(name=device, force=True), timeout=PATIENCE))


def exercise(lab):
    """One watch, from its boot to its end."""
    device = lab.boot()
    try:
        said = lab.run(device, "sh", "-c", f"uname -s; echo 'from {device}' > /tmp/note")
        assert said == b"Linux\n", said
        note = lab.pull(device, "/tmp/note")
        assert note == f"from {device}\n".encode(), note
        return device
    finally:
        lab.delete(device)


def main():
    lab = Lab(SOCKET)
    with ThreadPoolExecutor(4) as pool:
        for device in pool.map(lambda _: exercise(lab), range(COUNT)):
            print(f"{device}: good")


if __name__ == "__main__":
    main()
