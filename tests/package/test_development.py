"""ensemble-dev: find_package(Ensemble), and programs of users that are built with the package alone."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import SOURCE, daemon, environment, packages, run, unpacked

KVM = os.access("/dev/kvm", os.R_OK | os.W_OK)
BUILDING = 1800
PROGRAM = """
#include <cstdio>

#include "control/client/client.h"

int main() {
  ensemble::control::Client client("/nowhere/ensembled.sock");
  const auto devices = client.list("");
  std::puts(devices ? "devices" : devices.error().message().c_str());
  return devices ? 0 : 3;
}
"""


def project(version):
    return f"""cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES CXX)
find_package(Ensemble {version} REQUIRED)
if(NOT EXISTS "${{Ensemble_PROTO_DIRECTORY}}/ensemble/v1/devices.proto")
  message(FATAL_ERROR "no .proto files in '${{Ensemble_PROTO_DIRECTORY}}'")
endif()
add_executable(consumer consumer.cc)
target_link_libraries(consumer PRIVATE Ensemble::client)
"""


def configure(folder):
    return ["cmake", "-G", "Ninja", "-S", str(folder), "-B", f"{folder}/build",
            f"-DCMAKE_PREFIX_PATH={unpacked()}/usr", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]


def build(folder):
    """Builds the project in the folder; it must see nothing of the source tree."""
    at = {"cwd": folder, "env": environment(), "timeout": BUILDING}
    run(*configure(folder), **at)
    run("cmake", "--build", f"{folder}/build", **at)
    told = run("ninja", "-C", f"{folder}/build", "-t", "deps", **at)
    told += Path(folder, "build/compile_commands.json").read_text(encoding="utf-8")
    if f"{SOURCE}/" in told or f"{unpacked()}/usr/include/ensemble/control/client/client.h" not in told:
        raise AssertionError(f"it was not built with the package alone:\n{told}")


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ensemble-consumer-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class Consumer(Folder):
    def write(self, version):
        (self.folder / "CMakeLists.txt").write_text(project(version), encoding="utf-8")
        (self.folder / "consumer.cc").write_text(PROGRAM, encoding="utf-8")

    def test_it_is_told_that_no_daemon_answers(self):
        self.write("0.1")
        build(self.folder)
        told = run(self.folder / "build/consumer", code=3, env=environment())
        self.assertIn("/nowhere/ensembled.sock", told)
        self.assertIn("no daemon answers", told)

    def test_a_version_that_does_not_fit_is_refused(self):
        self.write("9.0")
        done = subprocess.run(configure(self.folder), capture_output=True, text=True, check=False, timeout=BUILDING,
                              env=environment())
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('compatible with requested version "9.0"', " ".join(done.stderr.split()))


class Examples(Folder):
    """The examples of the package's documents, against the daemon of the other package."""

    def setUp(self):
        super().setUp()
        shutil.copytree(unpacked() / "usr/share/doc/ensemble-dev/examples", self.folder, dirs_exist_ok=True)

    def check(self, *command, **more):
        with daemon() as at:
            told = run(*command, cwd="/", env=environment(**at, **more), timeout=600)
        self.assertEqual(told.count(": good\n"), 10, told)

    @unittest.skipUnless(KVM, "/dev/kvm is missing or forbidden on this host")
    def test_cpp(self):
        build(self.folder)
        self.check(self.folder / "build/ten-watches")

    @unittest.skipUnless(KVM, "/dev/kvm is missing or forbidden on this host")
    def test_python_with_code_of_the_proto_files(self):
        protos = unpacked() / "usr/share/ensemble/proto"
        run("protoc", f"--proto_path={protos}", f"--python_out={self.folder}", f"--grpc_python_out={self.folder}",
            f"--plugin=protoc-gen-grpc_python={shutil.which('grpc_python_plugin')}",
            *sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto")))
        self.check("/usr/bin/python3", "-B", self.folder / "ten_watches.py", PYTHONPATH=str(self.folder))


class Contents(unittest.TestCase):
    def test_it_requires_what_its_headers_include(self):
        depends = run("dpkg-deb", "--field", packages()["ensemble-dev"], "Depends")
        for package in ("libfmt-dev", "libgrpc++-dev", "libprotobuf-dev"):
            self.assertIn(package, depends)

    def test_it_shares_no_file_with_the_other_package(self):
        def files(package):
            listing = run("dpkg-deb", "--contents", packages()[package]).splitlines()
            return {line.split()[5] for line in listing if not line.startswith("d")}
        self.assertEqual(files("ensemble") & files("ensemble-dev"), set())


if __name__ == "__main__":
    unittest.main()
