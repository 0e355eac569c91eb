#pragma once

#include "processor.h"

namespace nucleus {

// Fixed priorities, round-robin among equals; a timer slice runs only while an equal waits.

// Makes a thread ready on its own processor, or (if it has none) on `here`, and wakes that one. A
// processor that has not yet left the thread's frame is the only one that may run it.
void make_ready(Processor& here, Thread& thread);

// Takes a ready thread out of its run queue.
void remove_ready(Thread& thread);

// The current thread stays ready but lets equals run first.
void yield_current(Processor& processor);

// What runs next, switched to: the current thread, unless it stopped running or a better one waits.
// nullptr: nothing; the processor is idle, in the kernel's own address space.
Thread* schedule(Processor& processor);

}  // namespace nucleus
