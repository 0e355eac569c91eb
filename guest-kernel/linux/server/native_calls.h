#pragma once

#include "guest-kernel/lib/system_call.h"
#include "guest-kernel/linux/server/process.h"

namespace linux_server {

// Serves a native program's NativeRequest. Returns true if `answer` is to be sent.
bool handle_native_call(Task& task, const guest::Received& received, guest::Message& answer);
// Goes on with one that had blocked.
bool run_native_call(Task& task, guest::Message& answer);

}  // namespace linux_server
