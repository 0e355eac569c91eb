#include "guest-kernel/linux/server/ipc/process_file.h"

#include <asm/fcntl.h>

namespace linux_server {

std::uint32_t ProcessFile::readiness() const {
  const Process* subject = process();
  if (subject == nullptr) {
    return kReadable | kHangUp;
  }
  return subject->state == ProcessState::kEnded ? std::uint32_t{kReadable} : 0u;
}

std::int64_t add_process_descriptor(Task& task, Process& process, std::uint32_t flags) {
  if (!process.handle) {
    process.handle = Reference<ProcessHandle>(new ProcessHandle(process));
  }
  const auto node = make_event_node("anon_inode:[pidfd]");
  if (!process.handle || !node) {
    return -ENOMEM;
  }
  const Reference<File> file(new ProcessFile(node, O_RDWR | flags, process.handle));
  return file ? task.process->descriptors().add(file, true) : -ENOMEM;
}

Result<Reference<ProcessFile>> find_process_file(Task& task, std::uint64_t descriptor) {
  const Reference<File> file =
      task.process->descriptors().find(static_cast<std::uint32_t>(descriptor));
  if (!file || file->kind() != FileKind::kProcess) {
    return fail(EBADF);
  }
  return Reference<ProcessFile>(static_cast<ProcessFile*>(file.get()));
}

}  // namespace linux_server
