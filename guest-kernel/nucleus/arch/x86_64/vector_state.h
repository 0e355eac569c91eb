#pragma once

#include <cstdint>

namespace nucleus {

struct Processor;

// x87, SSE and (where the machine has XSAVE) AVX and AVX-512 state of a thread.

// Finds out how to save it and sets the calling processor up. The first caller decides for all.
// Where ring 0 is interpreted, `components` (of XCR0) and `size` are what ring 3 found, 0 if it has
// no XSAVE.
void initialize_vector_state(bool interpreted, std::uint32_t components, std::uint32_t size);
void load_vector_controls();

// Bytes that a thread's saved state takes; a power of two, at most a page.
std::uint64_t vector_state_size();
// Fresh state, as Linux gives it to a new program.
void reset_vector_state(void* state);
// Saves the registers' state and loads another, either of which may be null. Ring 3 does it where
// ring 0 is interpreted and programs have more than FXSAVE knows: then the kernel's page table is
// left loaded, and TSS.RSP0 changed.
void exchange_vector_state(Processor& processor, void* save, const void* load);

}  // namespace nucleus
