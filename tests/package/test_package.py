"""What is in the Debian packages, and that an installation works by itself."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import PATIENCE, daemon, ensemble, environment, packages, run, unpacked

KVM = os.access("/dev/kvm", os.R_OK | os.W_OK)
FILES = (
    "usr/bin/ensemble", "usr/bin/ensemble-client", "usr/bin/ensemble-libvirt", "usr/bin/ensemble-vmm",
    "usr/bin/ensembled",
    "usr/share/ensemble/nucleus.elf", "usr/share/ensemble/boot.pkg", "usr/share/ensemble/boot-agent.pkg",
    "usr/share/ensemble/boot-disk.pkg",
    "usr/share/ensemble/rootfs.cpio", "usr/share/ensemble/profiles/phone.yaml",
    "usr/share/ensemble/profiles/base.yaml", "usr/share/doc/ensemble/README.md",
    "usr/share/doc/ensemble/control-plane.md", "usr/share/doc/ensemble/changelog.gz",
    "usr/share/doc/ensemble/copyright", "usr/lib/systemd/user/ensembled.service",
    "usr/lib/systemd/user/ensembled.socket")


class Contents(unittest.TestCase):
    def field(self, package, name):
        return run("dpkg-deb", "--field", packages()[package], name).strip()

    def test_the_files_are_there(self):
        missing = [name for name in FILES if not (unpacked() / name).is_file()]
        self.assertEqual(missing, [])

    def test_everybody_may_read_and_only_root_write(self):
        for line in run("dpkg-deb", "--contents", packages()["ensemble"]).splitlines():
            mode, owner = line.split()[:2]
            self.assertEqual(owner, "root/root", line)
            if not mode.startswith("l"):
                self.assertEqual((mode[5], mode[7], mode[8]), ("-", "r", "-"), line)

    def test_the_libraries_are_required(self):
        depends = self.field("ensemble", "Depends")
        for library in ("libc6 (>=", "libgrpc++1", "libprotobuf32 (", "libprometheus-cpp-pull1.0 (", "libslirp0 (",
                        "libsqlite3-0 (", "libsystemd0", "libyaml-cpp0"):
            self.assertIn(library, depends)

    def test_what_hosts_without_kvm_need_is_recommended(self):
        self.assertEqual(self.field("ensemble", "Recommends"), "libvirt-daemon-driver-qemu, qemu-system-x86")

    def test_programs_have_no_symbols_of_debuggers(self):
        for program in (unpacked() / "usr/bin").iterdir():
            self.assertNotIn(".debug_info", run("readelf", "--section-headers", "--wide", program))

    def test_lintian_has_no_complaint(self):
        for path in packages().values():
            run("lintian", "--fail-on", "error,warning", "--allow-root", path, timeout=900)


class Units(unittest.TestCase):
    def test_systemd_takes_them(self):
        with tempfile.TemporaryDirectory(prefix="ensemble-package-") as folder:
            units = []
            for unit in (unpacked() / "usr/lib/systemd/user").iterdir():
                text = unit.read_text(encoding="utf-8")
                units.append(Path(folder, unit.name))
                units[-1].write_text(text.replace("=ensembled\n", f"={unpacked()}/usr/bin/ensembled\n"), encoding="utf-8")
            done = subprocess.run(
                ["systemd-analyze", "verify", "--user", "--man=no", *units], check=False, capture_output=True,
                text=True, timeout=PATIENCE, env=environment(XDG_RUNTIME_DIR=folder, HOME=folder))
            # It warns of what it does not know, and ends with 0.
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_the_socket_is_where_clients_look(self):
        text = (unpacked() / "usr/lib/systemd/user/ensembled.socket").read_text(encoding="utf-8")
        self.assertIn("ListenStream=%t/ensemble/ensembled.sock", text)
        done = subprocess.run([unpacked() / "usr/bin/ensemble", "ls"], check=False, capture_output=True, text=True,
                              timeout=PATIENCE, env=environment(XDG_RUNTIME_DIR="/nowhere"))
        self.assertIn("/nowhere/ensemble/ensembled.sock", done.stderr)


class Installation(unittest.TestCase):
    def test_it_says_its_version(self):
        self.assertEqual(ensemble("version").split()[0], "ensemble")

    def test_profiles_are_its_own(self):
        paths = {entry["name"]: entry["path"] for entry in json.loads(ensemble("profile", "list", "--output", "json"))}
        self.assertLessEqual({"phone", "tablet", "watch"}, set(paths))
        for path in paths.values():
            self.assertTrue(path.startswith(f"{unpacked()}/usr/share/ensemble/profiles/"), path)

    @unittest.skipUnless(KVM, "/dev/kvm is missing or forbidden on this host")
    def test_a_device_runs(self):
        self.assertIn("Linux watch", ensemble("run", "watch", "--", "/bin/busybox", "uname", "-a"))
        ensemble("run", "watch", "--", "/bin/busybox", "false", code=1)

    @unittest.skipUnless(KVM, "/dev/kvm is missing or forbidden on this host")
    def test_the_daemon_keeps_a_device(self):
        with daemon() as at:
            self.assertEqual(ensemble("up", "watch", "--name", "one", **at).split(), ["one"])
            listed = json.loads(ensemble("ls", "-o", "json", **at))
            self.assertEqual([device["name"] for device in listed], ["devices/one"])
            ensemble("rm", "-f", "one", **at)
            self.assertEqual(json.loads(ensemble("ls", "-o", "json", **at)), [])


if __name__ == "__main__":
    unittest.main()
