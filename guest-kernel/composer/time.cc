#include "guest-kernel/composer/time.h"

#include <cpuid.h>

#include "guest-kernel/abi/boot_info.h"
#include "guest-kernel/abi/layout.h"
#include "guest-kernel/abi/time_page.h"
#include "guest-kernel/composer/address_map.h"
#include "guest-kernel/lib/system_call.h"

namespace composer {
namespace {

// TSC frequency in Hz by the hypervisor's leaf 0x40000010 (kHz) or the processor's 0x15; 0:
// unknown.
std::uint64_t frequency_by_cpuid() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  __cpuid(1, a, b, c, d);
  constexpr unsigned kHypervisor = 1u << 31;
  if ((c & kHypervisor) != 0) {
    __cpuid(0x4000'0000, a, b, c, d);
    if (a >= 0x4000'0010) {
      __cpuid(0x4000'0010, a, b, c, d);
      if (a != 0) {
        return std::uint64_t{a} * 1000;
      }
    }
  }
  __cpuid(0, a, b, c, d);
  if (a >= 0x15) {
    __cpuid(0x15, a, b, c, d);
    if (a != 0 && b != 0 && c != 0) {
      return std::uint64_t{c} * b / a;
    }
  }
  return 0;
}

}  // namespace

const char* publish_time(Machine& machine, std::uint64_t entry_tsc) {
  constexpr unsigned kShift = 32;
  constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
  if (machine.tsc_frequency == 0) {
    machine.tsc_frequency = frequency_by_cpuid();
  }
  if (machine.tsc_frequency == 0) {
    return "nothing says how fast the TSC runs: neither the manifest, tsc_khz=N, nor CPUID";
  }
  if (guest::map(abi::kSelfSlot, kTimePageAddress, abi::kComposerTimePage, 0, abi::kPageSize,
                 abi::kRightRead | abi::kRightWrite) != guest::Status::kOk) {
    return "the time page cannot be mapped";
  }
  auto& page = *reinterpret_cast<abi::TimePage*>(kTimePageAddress);
  page.tsc_base = entry_tsc;
  page.tsc_frequency = machine.tsc_frequency;
  page.multiplier = (kNsPerSecond << kShift) / machine.tsc_frequency;
  page.shift = kShift;
  page.realtime_offset = machine.start_time;
  return nullptr;
}

}  // namespace composer
