#pragma once

#include <memory>
#include <string>

#include "vmm/error.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// A directory for the sockets and files of one QEMU, with a path short enough for sockets. A
// guard, a small process, removes it once this process has ended whichever way, and kills each QEMU
// with files in it that is left then.
class RuntimeFolder {
 public:
  // In $XDG_RUNTIME_DIR, or the directory for temporary files.
  static Result<std::unique_ptr<RuntimeFolder>> create();

  const std::string& path() const { return path_; }

 private:
  RuntimeFolder(std::string path, vmm::FileDescriptor guard)
      : path_(std::move(path)), guard_(std::move(guard)) {}

  std::string path_;
  vmm::FileDescriptor guard_;  // A pipe; its end is the guard's sign.
};

// What the guard does; its standard input is the pipe. Returns its exit code.
int guard_folder(const std::string& path);

}  // namespace ensemble::control
