"""scripts/lane-ruler on a kernel whose instruction counts are known (tests/lanes/two_rings.S)."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "scripts"))
import ruler  # noqa: E402

LANES = SOURCE / "tests" / "lanes"


class Ruler(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.kernel = cls.folder / "two_rings"
        subprocess.run(["gcc", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none",
                        "-Wl,--no-warn-rwx-segments", f"-Wl,--script={LANES}/two_rings.ld", "-o", cls.kernel,
                        LANES / "two_rings.S"], check=True)

    def test_counts_every_ring_0_instruction(self):
        counted = ruler.trace(ruler.Kernel(self.kernel), None, [], timeout=60)
        self.assertEqual(counted["exit_code"], 21)
        self.assertEqual(counted["boot"]["instructions"], 23)
        self.assertEqual(counted["entries"], {"count": 10, "instructions": 9 * 3 + 4, "memory_instructions": 20})
        usual = counted["paths"][0]
        self.assertEqual((usual["path"], usual["count"], usual["instructions"]), (["breakpoint"], 9, 3))
        self.assertEqual(len(usual["memory"]), 2)

    def compare(self, table):
        path = self.folder / "table.json"
        path.write_text(json.dumps({"cases": {"two": {"command": [], "exit_code": 21}}, **table}))
        output = self.folder / "result.json"
        done = subprocess.run([SOURCE / "scripts" / "lane-ruler", "--kernel", self.kernel, "--no-initrd",
                               "--compare", path, "--json", output], capture_output=True, text=True, check=False)
        return done, json.loads(output.read_text())

    def test_compares_with_limits_and_with_the_table(self):
        right = {"boot: ring-0 instructions": 23, "two: ring-0 entries": 10, "two: ring-0 instructions": 31}
        done, result = self.compare({"reference": right, "limits": {"boot: ring-0 instructions": 23}})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(result["counts"], right)
        for worse in ({"reference": {**right, "two: ring-0 instructions": 30}},
                      {"reference": right, "limits": {"boot: ring-0 instructions": 22}},
                      {"reference": {}},
                      {"reference": {**right, "what is not counted": 1}}):
            with self.subTest(worse):
                self.assertEqual(self.compare(worse)[0].returncode, 1)

    def test_tells_memory_from_registers(self):
        for text in ("mov (%rax),%rbx", "push %rax", "call ffff <f>", "incl 0x10(%rip) # ffff <x>", "rep stosq",
                     "mov %gs:0x10,%rax", "iretq", "jmp *0x8(%rax)", "lock orl $0x1,(%rdi)"):
            self.assertTrue(ruler.touches_memory(text), text)
        for text in ("mov %rax,%rbx", "lea 0x10(%rax),%rbx", "jmp ffff <f>", "nopw 0x0(%rax,%rax,1)", "shl $0x4,%rax",
                     "cmp $0x1,%eax", "out %al,$0xf4", "mov $0x10,%eax", "jmp *%rax", "invlpg (%rax)"):
            self.assertFalse(ruler.touches_memory(text), text)


if __name__ == "__main__":
    unittest.main()
