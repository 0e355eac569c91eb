#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "guest-kernel/lib/elf.h"
#include "guest-kernel/linux/server/arguments.h"
#include "guest-kernel/linux/server/node.h"
#include "guest-kernel/linux/server/process.h"

namespace linux_server {

// An executable file that has been found and checked.
struct Program {
  Node* node;
  guest::ElfImage image;
};

// Finds `name` as execvp(3) does: in kSearchPath if it has no slash. ENOENT, EACCES, ENOEXEC.
Result<Program> find_program(std::string_view name);

// Starts `program` as a new process, which runs at once. ENOMEM, E2BIG, ENOEXEC, ENOENT (its
// interpreter).
Result<Process*> start_linux_program(const Program& program, const Arguments& arguments);
// The same for a native program (guest-kernel/lib/native_program.h).
Result<Process*> start_native_program(const Program& program, const Arguments& arguments);
bool is_native(const Program& program);

}  // namespace linux_server
