"""Lane T: runs a PVH kernel on QEMU's microvm where one guest instruction is one nanosecond, and
counts the ring-0 instructions that it executes, exactly.

QEMU executes one instruction per translation block and logs each block in the kernel's address range
with its privilege level. A log is cut into kernel entries: what ring 0 runs between coming from ring 3
(or waking up) and going back.
"""

import bisect
import re
import struct
import subprocess
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

MACHINE = ["-M", "microvm,acpi=off,auto-kernel-cmdline=off", "-accel", "tcg", "-icount",
           "shift=0,sleep=off", "-cpu", "max", "-nodefaults", "-no-user-config", "-display", "none",
           "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
TSC_KHZ = 1_000_000
TRACE = re.compile(r"Trace \d+: \S+ \[[0-9a-f]+/([0-9a-f]+)/([0-9a-f]+)/")
# What leads to ring 3, and the function in which it does not: the kernel's probe of the machine.
EXITS = ("iret", "sysret")
NOT_AN_EXIT = {"probe"}
# Where ring 0 is entered while it is idle.
STUBS = "vector_stubs"
STUB_SIZE = 16


class RulerError(Exception):
    """A run that could not be made or not be understood; the message is for people."""


@dataclass
class Instruction:
    text: str
    function: str
    touches_memory: bool
    leaves: bool
    repeats: bool


@dataclass
class Entry:
    """One stay in ring 0."""

    path: tuple
    instructions: int = 0
    memory: list = field(default_factory=list)


def touches_memory(text):
    """Whether an instruction of objdump's output reads or writes memory."""
    words = text.split(None, 1)
    mnemonic, operands = words[0], words[1] if len(words) > 1 else ""
    while mnemonic in ("lock", "rep", "repz", "repnz", "data16", "cs", "ds", "gs", "fs", "notrack"):
        words = operands.split(None, 1)
        mnemonic, operands = words[0], words[1] if len(words) > 1 else ""
    if mnemonic.startswith(("lea", "nop", "prefetch", "invlpg")) and mnemonic != "leave":
        return False
    if mnemonic.startswith(("push", "pop", "call", "ret", "iret", "lret", "leave", "xlat")):
        return not mnemonic.startswith("popcnt")
    if re.match(r"(movs|stos|lods|scas|cmps)[bwlq]?$", mnemonic):
        return True
    if mnemonic.startswith("j") and "*" not in operands:
        return False
    if "(" in operands or re.search(r"%[c-gs]s:", operands):
        return True
    return bool(re.search(r"(?:^|,)\*?(?:0x)?[0-9a-f]+(?:,|$)", operands.split("#")[0].strip())) and \
        not mnemonic.startswith(("j", "call"))


def short_name(function):
    """A C++ function's name without its parameters."""
    return function.replace("(anonymous namespace)::", "").split("(")[0]


class Kernel:
    """A kernel ELF: its instructions by address, its functions, the ranges where it runs."""

    def __init__(self, path):
        self.path = Path(path)
        data = self.path.read_bytes()
        if data[:5] != b"\x7fELF\x02":
            raise RulerError(f"{path} is not a 64-bit ELF file")
        self.entry, offset = struct.unpack_from("<QQ", data, 24)
        size, count = struct.unpack_from("<HH", data, 54)
        self.ranges = []
        for index in range(count):
            kind, flags, _, address, _, _, length = struct.unpack_from("<IIQQQQQ", data, offset + index * size)
            if kind == 1 and flags & 1:
                self.ranges.append((address, address + length - 1))
        self.symbols = sorted(
            (int(words[0], 16), short_name(words[2]))
            for words in (line.split(None, 2) for line in self._run("nm", "--demangle", self.path).splitlines())
            if len(words) == 3 and words[1] in "tTwW")
        self.addresses = [address for address, _ in self.symbols]
        self.named = {name: address for address, name in self.symbols}
        self.instructions = {}
        self._disassemble()

    @staticmethod
    def _run(*command):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RulerError(done.stderr.strip())
        return done.stdout

    def _disassemble(self):
        text = self._run("objdump", "--disassemble", "--no-show-raw-insn", self.path)
        for match in re.finditer(r"^\s*([0-9a-f]+):\s+(\S.*)$", text, re.MULTILINE):
            address, instruction = int(match.group(1), 16), " ".join(match.group(2).split())
            self.instructions[address] = Instruction(
                instruction, self.function(address), touches_memory(instruction),
                instruction.startswith(EXITS), instruction.startswith("rep"))

    def function(self, address):
        index = bisect.bisect_right(self.addresses, address) - 1
        return self.symbols[index][1] if index >= 0 else "?"

    def at(self, address):
        """The instruction at an address; 32-bit start-up code is not known by its text."""
        known = self.instructions.get(address)
        return known or Instruction("(start-up code)", self.function(address), False, False, False)

    def enters_at(self, address):
        start = self.named.get(STUBS)
        return start is not None and (address - start) % STUB_SIZE == 0 and self.function(address) == STUBS


def read_trace(path, kernel):
    """Yields (address, repeated) for each ring-0 instruction from the kernel's entry on."""
    started, previous = False, None
    with open(path, encoding="ascii", errors="replace") as trace:
        for line in trace:
            match = TRACE.match(line)
            if match is None:
                if line.startswith("Stopped execution") and previous is not None:
                    previous = None  # The block that was just logged did not run.
                continue
            address, flags = int(match.group(1), 16), int(match.group(2), 16)
            if not started and address != kernel.entry:
                continue
            started = True
            if previous is not None:
                yield previous
            previous = address if flags & 3 == 0 else None
    if previous is not None:
        yield previous


def cut(addresses, kernel):
    """Cuts a trace into entries; the first is the boot."""
    entries, current, path, last, left = [], None, [], None, True
    for address in addresses:
        instruction = kernel.at(address)
        if address == last and not left:
            continue  # A repeated string instruction, or one that was resumed.
        if left or kernel.enters_at(address):
            if current is not None:
                current.path = tuple(path)
                entries.append(current)
            current, path = Entry(()), []
        if not path or path[-1] != instruction.function:
            path.append(instruction.function)
        current.instructions += 1
        if instruction.touches_memory:
            current.memory.append(f"{instruction.function}: {instruction.text}")
        left = instruction.leaves and instruction.function not in NOT_AN_EXIT
        last = address
    if current is not None:
        current.path = tuple(path)
        entries.append(current)
    return entries


def qemu(kernel, initrd, command_line, memory_mib=256, extra=(), timeout=300):
    """Runs the machine to its end. Returns (console output, exit code of the guest)."""
    command = ["qemu-system-x86_64", *MACHINE, "-m", str(memory_mib), "-serial", "stdio", "-kernel",
               str(kernel), "-append", command_line, *extra]
    if initrd:
        command += ["-initrd", str(initrd)]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout,
                              check=False)
    except subprocess.TimeoutExpired as error:
        console = (error.stdout or b"").decode(errors="replace")
        raise RulerError(f"the machine did not end within {timeout} s; its console: {console}") from error
    console = done.stdout.decode(errors="replace")
    if done.returncode & 1 == 0:
        raise RulerError(f"QEMU ended with {done.returncode}, without an exit code of the guest: "
                         f"{done.stderr.decode(errors='replace').strip()}; its console: {console}")
    return console, done.returncode >> 1


def command_line(arguments):
    """The manifest that docs/machine.md defines for the kernel command line."""
    words = f"console=ttyS0 tsc_khz={TSC_KHZ} cpus=1"
    return f"{words} -- {' '.join(arguments)}" if arguments else words


def summarize(entries):
    """The kernel entries of a run, grouped by the functions that they pass through."""
    groups = defaultdict(list)
    for entry in entries:
        groups[entry.path].append(entry)
    paths = []
    for path, members in sorted(groups.items(), key=lambda item: -sum(e.instructions for e in item[1])):
        members.sort(key=lambda entry: entry.instructions)
        median, worst = members[len(members) // 2], members[-1]
        paths.append({"path": list(path), "count": len(members),
                      "instructions": median.instructions,
                      "minimum": members[0].instructions, "maximum": worst.instructions,
                      "memory_instructions": len(worst.memory), "memory": worst.memory})
    return paths


def trace(kernel, initrd, arguments, timeout=300):
    """Runs a command under the ring-0 trace. Returns a dictionary that says what was counted."""
    ranges = ",".join(f"{low:#x}..{high:#x}" for low, high in kernel.ranges)
    with tempfile.TemporaryDirectory(prefix="ruler-") as folder:
        log = Path(folder, "trace")
        console, code = qemu(kernel.path, initrd, command_line(arguments), timeout=timeout,
                             extra=["-singlestep", "-d", "exec,nochain", "-dfilter", ranges, "-D", str(log)])
        entries = cut(read_trace(log, kernel), kernel)
    if not entries:
        raise RulerError("the trace holds no instruction of the kernel")
    boot, rest = entries[0], entries[1:]
    return {"exit_code": code, "console": console,
            "boot": {"instructions": boot.instructions, "memory_instructions": len(boot.memory)},
            "entries": {"count": len(rest), "instructions": sum(entry.instructions for entry in rest),
                        "memory_instructions": sum(len(entry.memory) for entry in rest)},
            "paths": summarize(rest)}
