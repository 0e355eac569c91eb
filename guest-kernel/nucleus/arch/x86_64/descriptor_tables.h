#pragma once

namespace nucleus {

struct Processor;

// Fills the interrupt descriptor table that all processors share.
void initialize_interrupt_table();

// Loads the calling processor's own segments and task state, and the shared interrupt table.
void load_descriptor_tables(Processor& processor);

// What `int3` of ring 3 enters; nullptr: the ordinary exception stub.
void set_breakpoint_gate(const char* handler);

// An exception from here on stops the machine at once (triple fault).
void unload_interrupt_table();

}  // namespace nucleus
