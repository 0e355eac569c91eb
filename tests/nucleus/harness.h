#pragma once

#include <cstdint>

#include "guest-kernel/abi/boot_info.h"
#include "guest-kernel/abi/layout.h"
#include "guest-kernel/lib/system_call.h"

// A boot package whose first program tests the nucleus from ring 3, with nothing else in the way.
// It stands where the composer stands, so it starts with all authority.
namespace nucleus_test {

using guest::Message;
using guest::Slot;
using guest::Status;

struct Test {
  const char* name;
  void (*run)();
};

// Registers a test at namespace scope: TEST(name) { … }. Tests run in the order of registration.
struct Registration {
  explicit Registration(Test test);
};
#define TEST(name)                                                                 \
  static void test_##name();                                                       \
  static const ::nucleus_test::Registration register_##name({#name, test_##name}); \
  static void test_##name()

// Reports a failure, and the test goes on.
#define EXPECT(condition)                                   \
  do {                                                      \
    if (!(condition)) {                                     \
      ::nucleus_test::fail(__FILE__, __LINE__, #condition); \
    }                                                       \
  } while (false)
#define EXPECT_EQUAL(actual, expected)                                                          \
  ::nucleus_test::expect_equal(__FILE__, __LINE__, #actual, static_cast<std::uint64_t>(actual), \
                               static_cast<std::uint64_t>(expected))
#define EXPECT_OK(call) EXPECT_EQUAL(call, ::guest::Status::kOk)

void fail(const char* file, int line, const char* what);
void expect_equal(const char* file, int line, const char* what, std::uint64_t actual,
                  std::uint64_t expected);

// A line of output: text, then a number.
void report(const char* text, std::uint64_t value);

extern const abi::BootInfo* boot_info;

// A capability slot that was not used before.
Slot new_slot();

// Zeroed memory of `pages` pages in this domain; never given back. Its offset in kComposerMemory.
struct Memory {
  std::uint64_t offset;
  char* address;
};
Memory new_memory(std::uint64_t pages);

// Starts a thread in this domain on a stack of its own.
Slot start_thread(void (*entry)(std::uint64_t), std::uint64_t argument, std::uint64_t priority = 20,
                  std::uint64_t processor = abi::kAnyProcessor, bool bare = true);

// Another domain, with this program's code and constants mapped at the same addresses and `stack`
// (one page, writable) at kStackPage. Its slots are empty but for its own domain.
inline constexpr std::uint64_t kStackPage = 0x5000'0000;
Slot new_domain(std::uint64_t kernel_pages = 64, std::uint64_t slots = 64);
// Ends it and gives its quota back.
void discard(Slot domain);
Status start_in_domain(Slot domain, void (*entry)(std::uint64_t), std::uint64_t argument,
                       std::uint64_t priority = 20);

std::uint64_t tsc();
void spin(std::uint64_t ticks);
// Processors running; starts all that the machine has on the first call.
unsigned processors();

}  // namespace nucleus_test
