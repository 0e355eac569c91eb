"""scripts/rootfs on a package repository of the test's own: no network, no package of the host's."""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
LARGE_PAGE = 2 << 20
TIME = 1_600_000_000


def read_newc(archive):
    """Parses newc: name -> (mode, content, offset, links, modified)."""
    found, offset = {}, 0
    while True:
        assert archive[offset:offset + 6] == b"070701", offset
        fields = [int(archive[offset + 6 + 8 * n:offset + 14 + 8 * n], 16) for n in range(13)]
        name = archive[offset + 110:offset + 110 + fields[11]].rstrip(b"\0").decode()
        data = (offset + 110 + fields[11] + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], archive[data:data + fields[6]], data, fields[4], fields[5])
        offset = (data + fields[6] + 3) & ~3


@unittest.skipUnless(shutil.which("apt-get") and shutil.which("dpkg-deb"), "needs Debian's apt-get and dpkg-deb")
class RootFs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.repository = cls.folder / "repository"
        cls.repository.mkdir()
        cls.build("hello", {"bin/hello": b"#!/bin/sh\n" + b"#" * 5000, "etc/hello.conf": b"one\n",
                            "usr/share/doc/hello/copyright": b"c", "usr/share/man/man1/hello.1": b"m"},
                  depends="libhello (>= 2) | nothing-like-it, hello-editor",
                  links={"usr/bin/hi": "hello"}, hard_links={"bin/again": "bin/hello"})
        cls.build("libhello", {"lib/x86_64-linux-gnu/libhello.so.1": b"\x7fELF" + bytes(9000)}, version="2:2.5-1")
        cls.build("nano-hello", {"usr/bin/nano-hello": b"n"}, provides="hello-editor",
                  script="#!/bin/sh\nfor name in edit \\\n  view; do\n"
                         "  update-alternatives --install /usr/bin/$name $name /usr/bin/nano-hello 10\ndone\n")
        cls.build("other-editor", {"bin/other": b"o"},
                  script="#!/bin/sh\nPRIORITY=50\nupdate-alternatives --quiet \\\n"
                         "  --install /usr/bin/edit edit /bin/other $PRIORITY \\\n"
                         "  --slave /usr/share/man/man1/edit.1 edit.1 /usr/share/man/man1/other.1 # gone\n")
        cls.build("unmet", {"usr/share/unmet": b""}, depends="no-such-library")
        cls.build("in-the-way", {"etc/hello.conf/file": b""})
        (cls.repository / "Packages").write_text("\n".join(cls.paragraphs), encoding="utf-8")
        for name in ("state/lists/partial", "apt", "cache"):
            (cls.folder / name).mkdir(parents=True)
        (cls.folder / "sources.list").write_text(f"deb [trusted=yes] copy:{cls.repository} ./\n", encoding="utf-8")
        (cls.folder / "apt.conf").write_text(f'''
            Dir::Etc::sourcelist "{cls.folder}/sources.list";
            Dir::Etc::sourceparts "/dev/null";
            Dir::Etc::preferencesparts "/dev/null";
            Dir::State::lists "{cls.folder}/state/lists";
            Dir::Cache "{cls.folder}/apt";
            APT::Architecture "amd64";
            APT::Architectures "amd64";
            APT::Sandbox::User "root";
            Acquire::Languages "none";
        ''', encoding="utf-8")
        cls.environment = {**os.environ, "APT_CONFIG": str(cls.folder / "apt.conf")}
        subprocess.run(["apt-get", "-qq", "-o", "Debug::NoLocking=1", "update"], env=cls.environment, check=True,
                       capture_output=True)

    paragraphs = []

    @classmethod
    def build(cls, name, files, version="1.0", depends="", provides="", script=None, links=None, hard_links=None):
        tree = cls.folder / "trees" / name
        for path, content in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content)
            if path.split("/")[-2] == "bin":
                (tree / path).chmod(0o755)
        for path, target in (links or {}).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).symlink_to(target)
        for path, target in (hard_links or {}).items():
            (tree / path).hardlink_to(tree / target)
        control = (f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Nobody <nobody@example.org>\n"
                   f"Description: made by a test\n")
        control += f"Depends: {depends}\n" if depends else ""
        control += f"Provides: {provides}\n" if provides else ""
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN/control").write_text(control, encoding="utf-8")
        if script:
            (tree / "DEBIAN/postinst").write_text(script, encoding="utf-8")
            (tree / "DEBIAN/postinst").chmod(0o755)
        package = cls.repository / f"{name}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, package], check=True,
                       capture_output=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(TIME)})
        data = package.read_bytes()
        cls.paragraphs.append(f"{control}Filename: ./{name}.deb\nSize: {len(data)}\n"
                              f"SHA256: {hashlib.sha256(data).hexdigest()}\n")

    def run_rootfs(self, *arguments, **environment):
        return subprocess.run([SOURCE / "scripts" / "rootfs", "--cache", self.folder / "cache", *arguments],
                              env={**self.environment, **environment}, capture_output=True, text=True, check=False)

    def make(self, *arguments, **environment):
        output = self.folder / "root.cpio"
        done = self.run_rootfs("-o", output, *arguments, **environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        return output.read_bytes()

    def refuse(self, *arguments, **environment):
        """What it complains of; nothing may be written."""
        output = self.folder / "refused" / "root.cpio"
        output.parent.mkdir(exist_ok=True)
        done = self.run_rootfs("-o", output, *arguments, **environment)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(list(output.parent.iterdir()), [])
        last = done.stderr.splitlines()[-1]
        self.assertTrue(last.startswith("rootfs: "), done.stderr)
        return last

    def test_has_the_packages_and_what_they_depend_on(self):
        entries = read_newc(self.make("hello"))
        self.assertEqual(entries["usr/bin/hello"][0], stat.S_IFREG | 0o755)
        self.assertIn("usr/lib/x86_64-linux-gnu/libhello.so.1", entries)
        self.assertEqual(entries["etc/hello.conf"][1], b"one\n")
        self.assertIn("usr/bin/nano-hello", entries, "the only provider of hello-editor")
        self.assertNotIn("usr/bin/other", entries)
        self.assertEqual(entries["usr/bin/hi"][:2], (stat.S_IFLNK | 0o777, b"hello"))

    def test_lists_packages_and_versions(self):
        done = self.run_rootfs("--list", "hello")
        self.assertEqual(done.stdout, "hello 1.0\nlibhello 2:2.5-1\nnano-hello 1.0\n", done.stderr)

    def test_merges_usr_and_makes_what_a_system_needs(self):
        entries = read_newc(self.make("hello"))
        for name in ("bin", "lib", "sbin"):
            self.assertEqual(entries[name][:2], (stat.S_IFLNK | 0o777, f"usr/{name}".encode()))
        for name in ("dev", "proc", "sys", "run", "root", "var/tmp"):
            self.assertTrue(stat.S_ISDIR(entries[name][0]), name)
        self.assertEqual(entries["tmp"][0], stat.S_IFDIR | 0o1777)
        for name in ("etc/passwd", "etc/group", "etc/hosts", "etc/nsswitch.conf", "etc/os-release"):
            self.assertTrue(entries[name][1], name)

    def test_leaves_documentation_out_unless_told(self):
        self.assertFalse([name for name in read_newc(self.make("hello")) if "hello/copyright" in name or "man1" in name])
        kept = read_newc(self.make("--keep-docs", "hello"))
        self.assertIn("usr/share/doc/hello/copyright", kept)
        self.assertIn("usr/share/man/man1/hello.1", kept)

    def test_makes_the_links_of_alternatives(self):
        entries = read_newc(self.make("hello"))
        self.assertEqual(entries["usr/bin/edit"][1], b"/etc/alternatives/edit")
        self.assertEqual(entries["etc/alternatives/edit"][1], b"/usr/bin/nano-hello")
        self.assertEqual(entries["etc/alternatives/view"][1], b"/usr/bin/nano-hello")
        entries = read_newc(self.make("hello", "other-editor"))
        self.assertEqual(entries["etc/alternatives/edit"][1], b"/bin/other", "the higher priority")
        self.assertEqual(entries["etc/alternatives/view"][1], b"/usr/bin/nano-hello")
        self.assertNotIn("etc/alternatives/edit.1", entries, "there is no such page")

    def test_hard_links_share_what_the_last_one_has(self):
        entries = read_newc(self.make("hello"))
        first, second = entries["usr/bin/again"], entries["usr/bin/hello"]
        self.assertEqual((first[3], second[3]), (2, 2))
        self.assertEqual(len(first[1]) + len(second[1]), 5010)

    def test_contents_of_a_page_or_more_lie_on_pages(self):
        archive = self.make("hello")
        self.assertEqual(len(archive) % LARGE_PAGE, 0)
        large = {name: entry for name, entry in read_newc(archive).items() if len(entry[1]) >= 4096}
        self.assertEqual(set(large), {".newc-index", "usr/bin/hello", "usr/lib/x86_64-linux-gnu/libhello.so.1"})
        for name, entry in large.items():
            self.assertEqual(entry[2] % 4096, 0, name)

    def test_an_index_repeats_the_entries(self):
        archive = self.make("hello")
        entries = read_newc(archive)
        self.assertEqual(next(iter(entries)), ".newc-index")
        index = entries.pop(".newc-index")[1]
        offset = 0
        for name in [name for name in entries if name != "."] + ["TRAILER!!!"]:
            self.assertEqual(index[offset:offset + 6], b"070701")
            fields = [int(index[offset + 6 + 8 * n:offset + 14 + 8 * n], 16) for n in range(13)]
            self.assertEqual(index[offset + 110:offset + 110 + fields[11]], name.encode() + b"\0")
            offset = (offset + 110 + fields[11] + 3) & ~3
            if name in entries:
                mode, content, _, links, modified = entries[name]
                self.assertEqual((fields[1], fields[4], fields[5], fields[6]), (mode, links, modified, len(content)))
                start = fields[7] << 32 | fields[8]
                self.assertEqual(archive[start:start + fields[6]], content, name)
        self.assertEqual(offset, len(index))

    def test_the_same_packages_give_the_same_bytes(self):
        first = self.make("hello", "other-editor")
        self.assertEqual(self.make("other-editor", "hello"), first)
        shutil.rmtree(self.folder / "cache")
        self.assertEqual(self.make("hello", "other-editor"), first, "from an empty cache")
        times = {entry[4] for entry in read_newc(first).values()}
        self.assertLessEqual(max(times), TIME)
        times = {entry[4] for entry in read_newc(self.make("hello", SOURCE_DATE_EPOCH="1000")).values()}
        self.assertEqual(max(times), 1000)

    def test_needs_no_network_for_what_it_has(self):
        first = self.make("hello")
        hidden = self.repository.with_name("hidden")
        self.repository.rename(hidden)
        try:
            self.assertEqual(self.make("hello"), first)
            self.assertRegex(self.refuse("--cache", self.folder / "other-cache", "hello"), "cannot download .*hello")
        finally:
            hidden.rename(self.repository)

    def test_takes_files_of_ones_own(self):
        own = self.folder / "own"
        own.write_text("own", encoding="utf-8")
        entries = read_newc(self.make("--add", f"bin/hello={own}", "hello"))
        self.assertEqual(entries["usr/bin/hello"][1], b"own")
        self.assertIn("'x' is not PATH=FILE", self.refuse("--add", "x", "hello"))
        self.assertIn("/none: No such file", self.refuse("--add", "x=/none", "hello"))

    def test_names_what_is_wrong(self):
        self.assertIn("no package 'hallo'", self.refuse("hello", "hallo"))
        self.assertIn("no-such-library", self.refuse("unmet"))
        self.assertIn("no package 'hello=9.9'", self.refuse("hello=9.9"))
        self.assertIn("/etc/hello.conf", self.refuse("hello", "in-the-way"))
        self.assertIn("SOURCE_DATE_EPOCH is 'soon'", self.refuse("hello", SOURCE_DATE_EPOCH="soon"))
        self.assertIn("cannot use the folder", self.refuse("--cache", "/proc/none", "hello"))

    def test_says_that_the_output_cannot_be_written(self):
        for output, reason in ((self.folder, "is a directory"), (self.folder / "none" / "x", "is no directory"),
                               (Path("/proc/x"), "cannot write /proc/x")):
            done = self.run_rootfs("-o", output, "hello")
            self.assertEqual(done.returncode, 1)
            self.assertIn(reason, done.stderr)

    def test_a_full_disk_leaves_the_old_image(self):
        self.make("hello")
        output = self.folder / "root.cpio"
        before = output.read_bytes()
        done = subprocess.run(["bash", "-c", 'ulimit -f 64; trap "" XFSZ; exec "$@"', "-", SOURCE / "scripts" / "rootfs",
                               "--cache", self.folder / "cache", "-o", output, "--keep-docs", "hello"],
                              env=self.environment, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("cannot write", done.stderr)
        self.assertEqual(output.read_bytes(), before)
        self.assertEqual([path.name for path in self.folder.iterdir() if ".part" in path.name], [])


if __name__ == "__main__":
    sys.exit(unittest.main())
