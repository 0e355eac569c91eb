#pragma once

#include <cstdint>
#include <span>

#include "guest-kernel/linux/server/ipc/anonymous_file.h"
#include "guest-kernel/linux/server/ipc/byte_queue.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// What both ends of a pipe share: pipe(7).
class Pipe : public Counted, public Charged<open_files_share> {
 public:
  static constexpr std::size_t kCapacity = 65536;
  static constexpr std::size_t kAtomicSize = 4096;  // PIPE_BUF
  static constexpr std::size_t kMaximumCapacity = 1024 * 1024;

  ByteQueue& bytes() { return bytes_; }
  const ByteQueue& bytes() const { return bytes_; }
  WaitQueue& changed() { return changed_; }
  std::uint32_t readers() const { return readers_; }
  std::uint32_t writers() const { return writers_; }
  // An end, for reading or writing or (a named pipe's) both, is opened or closed.
  void open_end(bool read, bool write);
  void close_end(bool read, bool write);
  // As Linux counts: a write of kAtomicSize would go in.
  bool has_room() const { return bytes_.room() >= kAtomicSize; }

 private:
  ByteQueue bytes_{kCapacity};
  WaitQueue changed_;
  std::uint32_t readers_ = 0;
  std::uint32_t writers_ = 0;
};

// An end of a pipe.
class PipeFile : public File {
 public:
  // Opens the end that `flags` name. `node` outlives this unless `owned` holds it.
  PipeFile(Node& node, std::uint32_t flags, Reference<Pipe> pipe,
           Reference<AnonymousNode> owned = {});
  ~PipeFile() override;

  Pipe& pipe() { return *pipe_; }

  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t write(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t write_bytes(Task& task, std::span<const std::byte> bytes) override;
  bool is_seekable() const override { return false; }
  std::int64_t control(Task& task, std::uint64_t request, std::uint64_t argument) override;
  std::uint32_t readiness() const override;
  WaitQueue* changes() override { return &pipe_->changed(); }
  FileKind kind() const override { return FileKind::kPipe; }

  // F_SETPIPE_SZ, F_GETPIPE_SZ: the capacity. EINVAL, EBUSY, EPERM, ENOMEM.
  std::int64_t set_capacity(std::uint64_t capacity);
  std::int64_t capacity() const { return static_cast<std::int64_t>(pipe_->bytes().capacity()); }

 private:
  // Puts in what goes in. Negative errno where nothing did, 0: full.
  std::int64_t put(const UserBuffer& buffer, std::uint64_t offset);

  Reference<AnonymousNode> owned_node_;
  Reference<Pipe> pipe_;
};

// `file` as a pipe's end; null: it is something else.
PipeFile* as_pipe(File* file);

// fcntl(2)'s commands for pipes. EBADF: `file` is none.
std::int64_t set_pipe_capacity(File& file, std::uint64_t capacity);
std::int64_t pipe_capacity(File& file);

// Named pipes: what opening a node of type kNamedPipe does. The first is asked by the call before
// it opens the file: 0, -ENXIO, or kBlocked until somebody opens the other end.
std::int64_t wait_for_named_pipe(Task& task, const Node& node, std::uint32_t flags);
Result<Reference<File>> open_named_pipe(Node& node, std::uint32_t flags);

}  // namespace linux_server
