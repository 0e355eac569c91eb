"""The checks of scripts/ on inputs with known faults: a check that cannot fail checks nothing."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def run(script, *arguments):
    return subprocess.run([SCRIPTS / script, *map(str, arguments)], capture_output=True, text=True,
                          check=False)


class FolderTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


class CheckRing0(FolderTest):
    def check(self, code):
        source = self.write("kernel.S", ".globl _start\n.text\n_start:\n" + code)
        kernel = self.folder / "kernel"
        subprocess.run(["gcc", "-nostdlib", "-static", "-no-pie", "-o", kernel, source], check=True,
                       capture_output=True)
        return run("check-ring0", kernel)

    def test_accepts_what_the_emulator_executes(self):
        done = self.check("""
            lock cmpxchg %rbx,(%rdi)
            rep stosq
            mov %rax,%cr3
            movzbl (%rax),%ecx
            movslq %eax,%rbx
            cmovne %rax,%rbx
            fxsave64 (%rax)
            movdqu (%rax),%xmm0
            wrmsr
            swapgs
            iretq
        """)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_rejects_each_instruction_outside_the_list(self):
        for instruction in ("sysretq", "popcnt %rax,%rbx", "lock cmpxchg16b (%rdi)", "rdtscp", "int3",
                            "int $0x30", "syscall", "pxor %xmm0,%xmm0", "addsd %xmm0,%xmm1",
                            "movq %rax,%xmm0", "xsave64 (%rdi)", "xsetbv", "stac", "vmcall",
                            "movbe (%rdi),%eax", "shlx %rax,%rbx,%rcx", "crc32 %eax,%ebx", "rdpid %rax",
                            "ldmxcsr (%rdi)", "vzeroupper", "monitor", "invpcid (%rsp),%rax"):
            with self.subTest(instruction):
                done = self.check(f"nop\n{instruction}\nhlt\n")
                self.assertEqual(done.returncode, 1)
                self.assertIn(f"_start: {instruction.split()[0]}", done.stdout)
                self.assertIn("3 instructions, 1 that", done.stdout)

    def test_lets_hardware_only_code_have_its_instructions_and_no_others(self):
        code = """
            .globl hardware_text_start, hardware_text_end
            hlt
            hardware_text_start:
            xsave64 (%rdi)
            {}
            hardware_text_end:
        """
        self.assertEqual(self.check(code.format("xsetbv")).returncode, 0)
        self.assertEqual(self.check(code.format("popcnt %rax,%rbx")).returncode, 1)

    def test_refuses_what_is_no_elf(self):
        self.assertNotEqual(run("check-ring0", self.write("text", "text")).returncode, 0)


class CheckSources(FolderTest):
    def check(self):
        return run("check-sources", "--root", self.folder)

    def test_accepts_downward_includes(self):
        self.write("control/a.cc", '#include "vmm/b.h"\n#include "device-model/c.h"\n')
        self.write("device-model/c.h", '#include "guest-kernel/abi/d.h"\n')
        self.assertEqual(self.check().returncode, 0)

    def test_rejects_upward_includes(self):
        for path, header in (("vmm/a.cc", "device-model/b.h"), ("device-model/a.cc", "control/b.h"),
                             ("vmm/a.h", "guest-kernel/abi/b.h"), ("guest-kernel/a.cc", "vmm/b.h"),
                             ("vmm/a.cc", "../device-model/b.h"),
                             ("device-model/a.cc", "guest-kernel/nucleus/b.h")):
            with self.subTest(path=path, header=header):
                self.write(path, f'\n#include "{header}"\n')
                done = self.check()
                self.assertEqual(done.returncode, 1)
                self.assertIn(f"{path}:", done.stdout)
                (self.folder / path).unlink()

    def test_rejects_long_files(self):
        self.write("vmm/a.cc", "\n" * 501)
        self.assertIn("vmm/a.cc: 501 lines", self.check().stdout)

    def test_rejects_paths_of_a_machine(self):
        self.write("docs/a.md", "see /ho" + "me/somebody/notes\n")
        done = self.check()
        self.assertEqual(done.returncode, 1)
        self.assertIn("docs/a.md:1", done.stdout)


class CheckSizes(FolderTest):
    def test_compares_with_the_limits(self):
        kernel, package = self.write("kernel", bytes(100)), self.write("package", bytes(50))

        def check(kernel_limit, package_limit):
            return run("check-sizes", "--kernel", kernel, "--kernel-limit", kernel_limit,
                       "--boot-package", package, "--boot-package-limit", package_limit).returncode

        self.assertEqual(check(100, 50), 0)
        self.assertEqual(check(99, 50), 1)
        self.assertEqual(check(100, 49), 1)


class PackCpio(FolderTest):
    def entries(self, archive, start=0):
        """Parses newc: name -> (mode, content, offset)."""
        found, offset = {}, start
        while True:
            self.assertEqual(archive[offset:offset + 6], b"070701")
            fields = [int(archive[offset + 6 + 8 * n:offset + 14 + 8 * n], 16) for n in range(13)]
            name = archive[offset + 110:offset + 110 + fields[11]].rstrip(b"\0").decode()
            data = (offset + 110 + fields[11] + 3) & ~3
            if name == "TRAILER!!!":
                return found
            self.assertLessEqual(fields[11], 4096)
            found[name] = (fields[1], archive[data:data + fields[6]], data)
            offset = (data + fields[6] + 3) & ~3

    def pack(self, *arguments):
        output = self.folder / "out.cpio"
        done = run("pack-cpio", "-o", output, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return output

    def test_contents_start_on_pages_whatever_the_sizes(self):
        words = []
        for size in [1, 3, 4, 3980, 3984, 3988, 4000, 4090, 4095, 4096, 4097, 12345]:
            words.append(f"dir/f{size}={self.write(f'f{size}', bytes([size % 251]) * size)}")
        archive = self.pack(*words).read_bytes()
        self.assertEqual(len(archive) % 4096, 0)
        entries = self.entries(archive)
        for word in words:
            name, path = word.split("=")
            _, content, offset = entries[name]
            self.assertEqual(content, Path(path).read_bytes())
            self.assertEqual(offset % 4096, 0, name)

    def test_cpio_unpacks_it(self):
        program = self.write("program", "#!/bin/sh\n")
        output = self.pack(f"bin/program={program}:755", f"etc/data={program}:600", "--link", "bin/sh=program",
                           "--dir", "empty")
        target = self.folder / "target"
        target.mkdir()
        with open(output, "rb") as archive:
            subprocess.run(["cpio", "--quiet", "-id"], stdin=archive, cwd=target, check=True)
        self.assertEqual((target / "bin/program").read_text(), "#!/bin/sh\n")
        self.assertEqual((target / "bin/program").stat().st_mode & 0o777, 0o755)
        self.assertEqual((target / "etc/data").stat().st_mode & 0o777, 0o600)
        self.assertEqual((target / "bin/sh").readlink(), Path("program"))
        self.assertTrue((target / "empty").is_dir())

    def test_the_same_inputs_give_the_same_bytes(self):
        data = self.write("data", b"x" * 5000)
        first = self.pack(f"a={data}").read_bytes()
        data.touch()
        self.assertEqual(self.pack(f"a={data}").read_bytes(), first)

    def test_a_prefix_comes_first_and_is_padded(self):
        prefix, data = self.write("prefix", b"\x7fELF" + bytes(5000)), self.write("data", b"data")
        archive = self.pack("--prefix", prefix, f"a={data}").read_bytes()
        self.assertEqual(archive[:5004], prefix.read_bytes())
        self.assertEqual(self.entries(archive, 8192)["a"][1], b"data")
        self.assertEqual(self.entries(archive, 8192)["a"][2] % 4096, 0)

    def test_wrong_words_are_named_and_nothing_is_written(self):
        for words in (["novalue"], ["a=/missing/file"], [f"a={__file__}", f"a={__file__}"]):
            done = run("pack-cpio", "-o", self.folder / "bad.cpio", *words)
            self.assertNotEqual(done.returncode, 0)
            self.assertTrue(done.stderr.startswith("pack-cpio: "), done.stderr)
        self.assertFalse((self.folder / "bad.cpio").exists())


if __name__ == "__main__":
    sys.exit(unittest.main())
