#include "tests/nucleus/harness.h"

namespace nucleus_test {
namespace {

constexpr std::uint64_t kReadWrite = abi::kRightRead | abi::kRightWrite;
constexpr std::uint64_t kWindow = 0x20'0000'0000;

// The fault that a thread of another domain takes when it runs `entry`.
Message fault_of(void (*entry)(std::uint64_t), std::uint64_t argument) {
  const Slot domain = new_domain();
  const Slot port = new_slot();
  EXPECT_OK(guest::create_port(port));
  EXPECT_OK(guest::set_fault_port(domain, port));
  EXPECT_OK(start_in_domain(domain, entry, argument));
  const auto fault = guest::Receiver(port).wait();
  EXPECT(fault.has_value() && !fault->is_notification());
  Message end;
  end[0] = static_cast<std::uint64_t>(abi::FaultReply::kEnd);
  EXPECT_OK(guest::reply(fault->token, end));
  discard(domain);
  return fault->message;
}

void write_to(std::uint64_t address) {
  *reinterpret_cast<volatile char*>(address) = 1;
  guest::exit_thread();
}
void read_from(std::uint64_t address) {
  (void)*reinterpret_cast<volatile char*>(address);
  guest::exit_thread();
}
void jump_to(std::uint64_t address) {
  reinterpret_cast<void (*)()>(address)();
}
void privileged(std::uint64_t) {
  asm volatile("mov %%cr3, %%rax" ::: "rax");
}
void undefined(std::uint64_t) {
  asm volatile("ud2");
}
void foreign_call(std::uint64_t) {
  asm volatile("syscall" ::: "rcx", "r11");
}
void breakpoint(std::uint64_t) {
  asm volatile("int3");
}

constexpr std::uint64_t kPageFault = abi::kFaultMessage | 14;
constexpr std::uint64_t kProtection = 1;
constexpr std::uint64_t kWrite = 2;
constexpr std::uint64_t kUser = 4;
constexpr std::uint64_t kFetch = 16;

}  // namespace

TEST(mappings_show_the_memory_that_they_name) {
  const Memory memory = new_memory(4);
  memory.address[0] = 'a';
  memory.address[3 * abi::kPageSize] = 'd';
  EXPECT_OK(guest::map(abi::kSelfSlot, kWindow, abi::kComposerMemory, memory.offset,
                       4 * abi::kPageSize, kReadWrite));
  volatile char* window = reinterpret_cast<volatile char*>(kWindow);
  EXPECT_EQUAL(window[0], 'a');
  EXPECT_EQUAL(window[3 * abi::kPageSize], 'd');
  window[1] = 'b';
  EXPECT_EQUAL(memory.address[1], 'b');
  // Replaced: the last page takes the first one's place.
  EXPECT_OK(guest::map(abi::kSelfSlot, kWindow, abi::kComposerMemory,
                       memory.offset + 3 * abi::kPageSize, abi::kPageSize, kReadWrite));
  EXPECT_EQUAL(window[0], 'd');
}

TEST(large_pages_split_and_stay_right) {
  constexpr std::uint64_t kLarge = 0x40'0000'0000;
  constexpr std::uint64_t kOffset = 16 << 20;
  // Aligned alike, so that 2 MiB pages are used.
  const std::uint64_t skew = (0x20'0000 - (boot_info->memory_base & 0x1f'ffff)) & 0x1f'ffff;
  EXPECT_OK(guest::map(abi::kSelfSlot, kLarge, abi::kComposerMemory, kOffset + skew, 4 << 20,
                       kReadWrite));
  volatile char* window = reinterpret_cast<volatile char*>(kLarge);
  window[0] = 1;
  window[0x20'0000 - 1] = 2;
  window[0x20'0000] = 3;
  EXPECT_OK(guest::unmap(abi::kSelfSlot, kLarge + 0x1000, 0x1000));
  EXPECT_OK(guest::protect(abi::kSelfSlot, kLarge + 0x3000, 0x2000, abi::kRightRead));
  EXPECT_EQUAL(window[0], 1);
  EXPECT_EQUAL(window[0x20'0000 - 1], 2);
  EXPECT_EQUAL(window[0x20'0000], 3);
  EXPECT_OK(guest::protect(abi::kSelfSlot, kLarge + 0x3000, 0x2000, kReadWrite));
  window[0x3000] = 4;
  EXPECT_EQUAL(window[0x3000], 4);
  EXPECT_OK(guest::unmap(abi::kSelfSlot, kLarge, 4 << 20));
  // The first 2 MiB have a table of small pages by now, in the middle of a run of large ones.
  EXPECT_OK(guest::map(abi::kSelfSlot, kLarge - 0x20'0000, abi::kComposerMemory,
                       kOffset + skew - 0x20'0000, 6 << 20, kReadWrite));
  EXPECT_EQUAL(window[0], 1);
  EXPECT_EQUAL(window[0x3000], 4);
  EXPECT_EQUAL(window[0x20'0000 - 1], 2);
  EXPECT_EQUAL(window[0x20'0000], 3);
  EXPECT_OK(guest::unmap(abi::kSelfSlot, kLarge - 0x20'0000, 6 << 20));
}

TEST(map_checks_its_arguments) {
  const auto map = [](std::uint64_t address, std::uint64_t offset, std::uint64_t size,
                      std::uint64_t rights, Slot region = abi::kComposerMemory) {
    return guest::map(abi::kSelfSlot, address, region, offset, size, rights);
  };
  constexpr std::uint64_t kPage = abi::kPageSize;
  EXPECT_EQUAL(map(kWindow + 1, 0, kPage, 1), Status::kBadArgument);
  EXPECT_EQUAL(map(kWindow, 1, kPage, 1), Status::kBadArgument);
  EXPECT_EQUAL(map(kWindow, 0, kPage + 1, 1), Status::kBadArgument);
  EXPECT_EQUAL(map(kWindow, 0, 0, 1), Status::kBadArgument);
  EXPECT_EQUAL(map(0, 0, kPage, 1), Status::kBadArgument);
  EXPECT_EQUAL(map(abi::kSharedStart, 0, kPage, 1), Status::kBadArgument);
  EXPECT_EQUAL(map(abi::kSharedStart - kPage, 0, 2 * kPage, 1), Status::kBadArgument);
  EXPECT_EQUAL(map(abi::kUserEnd, 0, kPage, 1), Status::kBadArgument);
  EXPECT_EQUAL(map(abi::kUserEnd - kPage, 0, 2 * kPage, 1), Status::kBadArgument);
  EXPECT_EQUAL(map(0xffff'8000'0000'0000, 0, kPage, 1), Status::kBadArgument);
  EXPECT_EQUAL(map(kWindow, boot_info->memory_size, kPage, 1), Status::kBadArgument);
  EXPECT_EQUAL(map(kWindow, boot_info->memory_size - kPage, 2 * kPage, 1), Status::kBadArgument);
  EXPECT_EQUAL(map(kWindow, ~std::uint64_t{0xfff}, 2 * kPage, 1), Status::kBadArgument);
  EXPECT_EQUAL(map(kWindow, 0, kPage, 8), Status::kBadArgument);
  EXPECT_EQUAL(map(kWindow, 0, kPage, kReadWrite, abi::kComposerPorts), Status::kBadCapability);
  EXPECT_EQUAL(map(kWindow, 0, kPage, abi::kRightExecute, abi::kComposerDeviceMemory),
               Status::kNoRight);
}

TEST(protection_never_exceeds_the_region) {
  const Memory memory = new_memory(1);
  const Slot readable = new_slot();
  EXPECT_OK(
      guest::carve(readable, abi::kComposerMemory, memory.offset, abi::kPageSize, abi::kRightRead));
  EXPECT_EQUAL(guest::map(abi::kSelfSlot, kWindow, readable, 0, abi::kPageSize, kReadWrite),
               Status::kNoRight);
  EXPECT_OK(guest::map(abi::kSelfSlot, kWindow, readable, 0, abi::kPageSize, abi::kRightRead));
  EXPECT_EQUAL(guest::protect(abi::kSelfSlot, kWindow, abi::kPageSize, kReadWrite),
               Status::kNoRight);
  EXPECT_EQUAL(guest::carve(new_slot(), readable, 0, 2 * abi::kPageSize), Status::kBadArgument);
}

TEST(faults_reach_the_fault_port) {
  EXPECT_EQUAL(fault_of(read_from, 0x123'0000)[0], kPageFault);
  const Message write = fault_of(write_to, 0x123'4567);
  EXPECT_EQUAL(write[0], kPageFault);
  EXPECT_EQUAL(write[1], kUser | kWrite);
  EXPECT_EQUAL(write[2], 0x123'4567);
  const Message fetch = fault_of(jump_to, kStackPage);
  EXPECT_EQUAL(fetch[1], kUser | kFetch | kProtection);
  EXPECT_EQUAL(fetch[3], kStackPage);
  const Message constant = fault_of(write_to, 0x40'0000);
  EXPECT_EQUAL(constant[1], kUser | kWrite | kProtection);
  const Message kernel = fault_of(read_from, 0xffff'ffff'8010'0000);
  EXPECT_EQUAL(kernel[0], kPageFault);
  EXPECT_EQUAL(fault_of(write_to, abi::kEntryPage)[1], kUser | kWrite | kProtection);
  EXPECT_EQUAL(fault_of(privileged, 0)[0], abi::kFaultMessage | 13);
  EXPECT_EQUAL(fault_of(undefined, 0)[0], abi::kFaultMessage | 6);
  EXPECT_EQUAL(fault_of(breakpoint, 0)[0], abi::kFaultMessage | 3);
}

TEST(a_foreign_system_call_goes_to_the_domains_handler) {
  const Message fault = fault_of(foreign_call, 0);
  EXPECT_EQUAL(fault[0], kPageFault);
  EXPECT_EQUAL(fault[2], abi::kForeignHandler);
}

namespace {

extern "C" void foreign_handler();
asm(R"(
  .text
foreign_handler:
  mov $4242, %eax
  jmp *%rcx
)");

std::uint64_t foreign_result() {
  std::uint64_t result = 7;
  asm volatile("syscall" : "+a"(result)::"rcx", "r11", "memory");
  return result;
}

}  // namespace

TEST(a_foreign_handler_answers_in_ring_3) {
  const Memory page = new_memory(1);
  *reinterpret_cast<std::uint64_t*>(page.address) =
      reinterpret_cast<std::uint64_t>(foreign_handler);
  EXPECT_OK(guest::map(abi::kSelfSlot, abi::kForeignHandler, abi::kComposerMemory, page.offset,
                       abi::kPageSize, abi::kRightRead));
  EXPECT_EQUAL(foreign_result(), 4242);
}

TEST(a_fault_can_be_mended_and_retried) {
  const Slot domain = new_domain();
  const Slot port = new_slot();
  const Memory memory = new_memory(1);
  EXPECT_OK(guest::create_port(port));
  EXPECT_OK(guest::set_fault_port(domain, port));
  EXPECT_OK(start_in_domain(domain, write_to, 0x7000'0000));
  const auto fault = guest::Receiver(port).wait();
  EXPECT(fault.has_value() && fault->message[2] == 0x7000'0000);
  EXPECT_OK(guest::map(domain, 0x7000'0000, abi::kComposerMemory, memory.offset, abi::kPageSize,
                       kReadWrite));
  Message retry;
  retry[0] = static_cast<std::uint64_t>(abi::FaultReply::kRetry);
  EXPECT_OK(guest::reply(fault->token, retry));
  for (int i = 0; i < 1000 && *static_cast<volatile char*>(memory.address) == 0; ++i) {
    guest::yield();
  }
  EXPECT_EQUAL(*static_cast<volatile char*>(memory.address), 1);
  discard(domain);
}

}  // namespace nucleus_test
