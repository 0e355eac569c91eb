#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "guest-kernel/lib/elf.h"
#include "guest-kernel/lib/system_call.h"
#include "guest-kernel/linux/server/arguments.h"
#include "guest-kernel/linux/server/file_bytes.h"
#include "guest-kernel/linux/server/first_command.h"
#include "guest-kernel/linux/server/initial_stack.h"
#include "guest-kernel/linux/server/node.h"
#include "guest-kernel/linux/server/process.h"

namespace linux_server {

// An executable file that has been found and checked.
struct Program {
  Reference<Node> node;
  guest::ElfImage image;
  FileBytes file;  // what `image` refers to
  // What it was asked for by, for AT_EXECFN; empty: by its path. Valid as long as the caller's.
  std::string_view called = {};
  // Who asked for it, and as whom its interpreter is looked for; null: the server itself.
  Process* viewer = nullptr;
};

// Finds `name` as execvp(3) does: in the usual directories if it has no slash. ENOENT, EACCES,
// ENOEXEC.
Result<Program> find_program(std::string_view name);
// The program in a file. EACCES, ENOEXEC.
Result<Program> check_program(Node& node);
bool is_native(const Program& program);

// A program in memory of its own, ready to run.
struct LoadedProgram {
  Reference<ProcessMemory> memory;
  guest::ThreadStart start = {};
  InitialStack stack;
  Reference<Node> node;
  ProgramCredentials credentials;
};

// Loads `program` with what it is told of its credentials. ENOMEM,
// E2BIG, ENOEXEC, ENOENT (its interpreter).
Result<LoadedProgram> load_program(const Program& program, const Arguments& arguments,
                                   const Arguments& environment,
                                   const ProgramCredentials& credentials);
Result<LoadedProgram> load_linux_program(const Program& program, const Arguments& arguments,
                                         const Arguments& environment,
                                         const ProgramCredentials& credentials);
// The same for a native program (guest-kernel/lib/native_program.h).
Result<LoadedProgram> load_native_program(const Program& program, const Arguments& arguments);

// Gives a process the program, whose task then runs it: its old memory and thread are given up.
// False: the nucleus refuses; the process has neither then.
bool enter_program(Task& task, LoadedProgram& loaded);

// Makes the first process, on the console, and starts it.
Result<void> start_first_process(const Program& program, const FirstCommand& command);

}  // namespace linux_server
