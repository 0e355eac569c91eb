#pragma once

#include <signal.h>
#include <sys/signalfd.h>

#include <initializer_list>
#include <string_view>

#include "vmm/file_descriptor.h"

namespace ensemble::control {

// The signals as a descriptor, for this thread and those that it makes from now on: before gRPC
// makes some.
vmm::FileDescriptor take_signals(std::initializer_list<int> numbers);

// False: the descriptor takes no more.
bool write_all(int descriptor, std::string_view text);

}  // namespace ensemble::control
