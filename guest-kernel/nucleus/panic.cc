#include "guest-kernel/nucleus/panic.h"

#include "descriptor_tables.h"
#include "guest-kernel/nucleus/thread.h"
#include "instructions.h"

namespace nucleus {
namespace {

constexpr std::uint16_t kSerialData = 0x3f8;

void put(const char* text) {
  for (; *text != 0; ++text) {
    port_write(kSerialData, 1, static_cast<unsigned char>(*text));
  }
}

void put_hexadecimal(std::uint64_t value) {
  put(" 0x");
  bool started = false;
  for (int shift = 60; shift >= 0; shift -= 4) {
    const auto digit = static_cast<unsigned>(value >> shift) & 15;
    started |= digit != 0 || shift == 0;
    if (started) {
      const char text[] = {"0123456789abcdef"[digit], 0};
      put(text);
    }
  }
}

}  // namespace

void panic(const char* reason, std::uint64_t detail, std::uint64_t detail2) {
  put("nucleus: ");
  put(reason);
  put_hexadecimal(detail);
  put_hexadecimal(detail2);
  put("\r\n");
  unload_interrupt_table();
  asm volatile("ud2");
  __builtin_unreachable();
}

void report_unhandled_fault(const Thread& thread) {
  put("nucleus: thread");
  put_hexadecimal(thread.token >> 32);
  put(" ended by exception");
  put_hexadecimal(thread.frame.vector);
  put(" at");
  put_hexadecimal(thread.frame.rip);
  put(" error");
  put_hexadecimal(thread.frame.error_code);
  put(" address");
  put_hexadecimal(thread.fault_address);
  put("\r\n");
}

}  // namespace nucleus
