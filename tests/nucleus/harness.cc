#include "tests/nucleus/harness.h"

extern "C" {
extern char image_start[];  // composer.ld
extern void (*constructors_start[])();
extern void (*constructors_end[])();
}

namespace nucleus_test {

const abi::BootInfo* boot_info;

namespace {

constexpr std::uint16_t kSerial = 0x3f8;
constexpr std::uint16_t kDebugExit = 0xf4;
constexpr unsigned kMaximumTests = 128;
constexpr std::uint64_t kMemoryWindow = 0x10'0000'0000;

Test tests[kMaximumTests];
unsigned test_count;
bool failed;
Slot next_slot = abi::kComposerFirstFree;
std::uint64_t next_offset;

void put(const char* text) {
  for (; *text != 0; ++text) {
    (void)guest::write_port(abi::kComposerPorts, kSerial, 1, static_cast<unsigned char>(*text));
  }
}

void put_number(std::uint64_t value) {
  char digits[21];
  unsigned at = sizeof(digits) - 1;
  digits[at] = 0;
  do {
    digits[--at] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  put(digits + at);
}

[[noreturn]] void power_off(unsigned code) {
  if (boot_info->manifest.size != 0) {
    // Machine control, docs/machine.md.
    constexpr std::uint64_t kControl = 0xd000'0000 - 0xc000'0000;
    constexpr std::uint64_t kWindow = 0x6000'0000;
    if (guest::map(abi::kSelfSlot, kWindow, abi::kComposerDeviceMemory, kControl, abi::kPageSize,
                   abi::kRightRead | abi::kRightWrite) == Status::kOk) {
      *reinterpret_cast<volatile std::uint32_t*>(kWindow) = code << 16 | 0x3333;
    }
  }
  (void)guest::write_port(abi::kComposerPorts, kDebugExit, 4, code);
  for (;;) {
    guest::yield();
  }
}

}  // namespace

Registration::Registration(Test test) {
  if (test_count < kMaximumTests) {
    tests[test_count++] = test;
  }
}

void fail(const char* file, int line, const char* what) {
  failed = true;
  put("  ");
  put(file);
  put(":");
  put_number(static_cast<std::uint64_t>(line));
  put(": ");
  put(what);
  put("\r\n");
}

void expect_equal(const char* file, int line, const char* what, std::uint64_t actual,
                  std::uint64_t expected) {
  if (actual == expected) {
    return;
  }
  fail(file, line, what);
  report("  is", actual);
  report("  expected", expected);
}

void report(const char* text, std::uint64_t value) {
  put(text);
  put(" ");
  put_number(value);
  put("\r\n");
}

Slot new_slot() {
  return next_slot++;
}

Memory new_memory(std::uint64_t pages) {
  const std::uint64_t offset = next_offset;
  next_offset += pages * abi::kPageSize;
  if (guest::map(abi::kSelfSlot, kMemoryWindow + offset, abi::kComposerMemory, offset,
                 pages * abi::kPageSize, abi::kRightRead | abi::kRightWrite) != Status::kOk) {
    fail(__FILE__, __LINE__, "memory for a test");
  }
  return {offset, reinterpret_cast<char*>(kMemoryWindow + offset)};
}

Slot start_thread(void (*entry)(std::uint64_t), std::uint64_t argument, std::uint64_t priority,
                  std::uint64_t processor, bool bare) {
  constexpr std::uint64_t kStackPages = 4;
  char* top = new_memory(kStackPages).address + kStackPages * abi::kPageSize;
  // As if the entry had been called: nothing returns from it.
  const Slot slot = new_slot();
  EXPECT_OK(guest::create_thread(slot, abi::kSelfSlot,
                                 {.entry = reinterpret_cast<std::uint64_t>(entry),
                                  .stack = reinterpret_cast<std::uint64_t>(top - 8),
                                  .argument = argument,
                                  .priority = priority,
                                  .processor = processor,
                                  .bare = bare}));
  return slot;
}

Slot new_domain(std::uint64_t kernel_pages, std::uint64_t slots) {
  const Slot domain = new_slot();
  EXPECT_OK(guest::create_domain(domain, slots, kernel_pages));
  const auto code = reinterpret_cast<std::uint64_t>(image_start);
  const auto& segment = *reinterpret_cast<const std::uint64_t*>(image_start + 64 + 32);  // p_filesz
  const std::uint64_t size = (segment + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
  EXPECT_OK(guest::map(domain, code, abi::kComposerBootPackage, 0, size,
                       abi::kRightRead | abi::kRightExecute));
  const Memory stack = new_memory(1);
  EXPECT_OK(guest::map(domain, kStackPage, abi::kComposerMemory, stack.offset, abi::kPageSize,
                       abi::kRightRead | abi::kRightWrite));
  return domain;
}

void discard(Slot domain) {
  EXPECT_OK(guest::end_domain(domain));
  EXPECT_OK(guest::delete_capability(abi::kSelfSlot, domain));
}

Status start_in_domain(Slot domain, void (*entry)(std::uint64_t), std::uint64_t argument,
                       std::uint64_t priority) {
  return guest::create_thread(guest::kNoSlot, domain,
                              {.entry = reinterpret_cast<std::uint64_t>(entry),
                               .stack = kStackPage + abi::kPageSize - 8,
                               .argument = argument,
                               .priority = priority,
                               .processor = abi::kAnyProcessor,
                               .bare = true});
}

std::uint64_t tsc() {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  asm volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
  return (std::uint64_t{high} << 32) | low;
}

void spin(std::uint64_t ticks) {
  const std::uint64_t start = tsc();
  while (tsc() - start < ticks) {
    asm volatile("pause");
  }
}

namespace {

// How many processors the command line tells of (`cpus=N`), or the most that there can be.
unsigned expected_processors() {
  constexpr unsigned kMost = 8;
  constexpr std::uint64_t kWindow = 0x6000'2000;
  if (boot_info->command_line_offset == ~std::uint64_t{0} ||
      guest::map(abi::kSelfSlot, kWindow, abi::kComposerCommandLine, 0, 2 * abi::kPageSize,
                 abi::kRightRead) != Status::kOk) {
    return kMost;
  }
  constexpr char kWord[] = "cpus=";
  const char* text = reinterpret_cast<const char*>(kWindow) + boot_info->command_line_offset;
  for (; *text != 0; ++text) {
    unsigned length = 0;
    while (kWord[length] != 0 && text[length] == kWord[length]) {
      ++length;
    }
    if (kWord[length] == 0) {
      return static_cast<unsigned>(text[length] - '0');
    }
  }
  return kMost;
}

}  // namespace

unsigned processors() {
  static unsigned count;
  if (count == 0) {
    const unsigned expected = expected_processors();
    for (count = 1; count < expected; ++count) {
      const auto index = guest::start_processor(abi::kComposerMachine, count);
      if (!index.has_value()) {
        break;
      }
      EXPECT_EQUAL(*index, count);
    }
  }
  return count;
}

namespace {

[[noreturn]] void run_all() {
  unsigned failures = 0;
  for (unsigned i = 0; i < test_count; ++i) {
    failed = false;
    tests[i].run();
    put(failed ? "not ok " : "ok ");
    put(tests[i].name);
    put("\r\n");
    failures += failed ? 1 : 0;
  }
  put_number(test_count - failures);
  put(" passed, ");
  put_number(failures);
  put(" failed\r\n");
  power_off(failures != 0 ? 1 : 0);
}

}  // namespace
}  // namespace nucleus_test

extern "C" void program_main(const abi::BootInfo& info) {
  nucleus_test::boot_info = &info;
  for (auto* constructor = constructors_start; constructor != constructors_end; ++constructor) {
    (*constructor)();
  }
  nucleus_test::run_all();
}
