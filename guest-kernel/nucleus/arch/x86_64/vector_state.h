#pragma once

#include <cstdint>

namespace nucleus {

// x87, SSE and (where the machine lets the kernel save it) AVX state of a thread.

// Finds out how to save it and sets the calling processor up. The first caller decides for all.
void initialize_vector_state(bool interpreted);
void load_vector_controls();

// Bytes that a thread's saved state takes; a power of two, at most a page.
std::uint64_t vector_state_size();
// Fresh state, as Linux gives it to a new program.
void reset_vector_state(void* state);
void save_vector_state(void* state);
void restore_vector_state(const void* state);

}  // namespace nucleus
