#include "vector_state.h"

#include "instructions.h"
#include "processor.h"

extern "C" {
// Components of XCR0 that ring 3 saves for the kernel; 0: it does not.
std::uint32_t vector_components;
// entry.S
void exchange_in_ring3(void* save, const void* load, std::uint64_t components,
                       nucleus::Processor* processor);
}

// Functions that only run on hardware may use instructions that interpreted ring 0 lacks; the
// disassembly check lets them pass in this section only.
#define HARDWARE_ONLY [[gnu::section(".text.hardware"), gnu::noinline]]

namespace nucleus {
namespace {

constexpr std::uint64_t kControlOsXsave = 1 << 18;
// x87, SSE, AVX and the three parts of AVX-512.
constexpr std::uint32_t kKnownComponents = 0xe7;

std::uint32_t components;  // of XCR0 that ring 0 saves
std::uint64_t state_size = 512;

HARDWARE_ONLY void write_xcr0(std::uint32_t value) {
  asm volatile("xsetbv" ::"c"(0), "a"(value), "d"(0));
}

HARDWARE_ONLY void save_extended(void* state) {
  asm volatile("xsave64 (%0)" ::"r"(state), "a"(components), "d"(0) : "memory");
}

HARDWARE_ONLY void restore_extended(const void* state) {
  asm volatile("xrstor64 (%0)" ::"r"(state), "a"(components), "d"(0) : "memory");
}

}  // namespace

void initialize_vector_state(bool interpreted, std::uint32_t found, std::uint32_t size) {
  constexpr std::uint32_t kXsave = 1u << 26;
  constexpr std::uint32_t kLargestState = 4096;
  constexpr std::uint32_t kThroughAvx = 7;  // with less, FXSAVE saves all that programs have
  if (interpreted) {
    vector_components = (found & kThroughAvx) == kThroughAvx && size <= kLargestState ? found : 0;
  } else if ((cpuid(1).ecx & kXsave) != 0) {
    components = cpuid(0xd).eax & kKnownComponents;
    load_vector_controls();
    size = cpuid(0xd).ebx;
  }
  while ((components | vector_components) != 0 && state_size < size) {
    state_size *= 2;
  }
}

void load_vector_controls() {
  if (components != 0) {
    write_cr4(read_cr4() | kControlOsXsave);
    write_xcr0(components);
  }
}

std::uint64_t vector_state_size() {
  return state_size;
}

void reset_vector_state(void* state) {
  // The layout of FXSAVE. An XSAVE header of zeroes asks for the components' initial state, but
  // MXCSR is always loaded from here.
  constexpr unsigned kControlWord = 0;
  constexpr unsigned kMxcsr = 24;
  auto* bytes = static_cast<char*>(state);
  *reinterpret_cast<std::uint16_t*>(bytes + kControlWord) = 0x37f;
  *reinterpret_cast<std::uint32_t*>(bytes + kMxcsr) = 0x1f80;
}

void exchange_vector_state(Processor& processor, void* save, const void* load) {
  if (vector_components != 0) {
    exchange_in_ring3(save, load, vector_components, &processor);
    return;
  }
  if (save != nullptr && components != 0) {
    save_extended(save);
  } else if (save != nullptr) {
    asm volatile("fxsave64 (%0)" ::"r"(save) : "memory");
  }
  if (load != nullptr && components != 0) {
    restore_extended(load);
  } else if (load != nullptr) {
    asm volatile("fxrstor64 (%0)" ::"r"(load) : "memory");
  }
}

}  // namespace nucleus
