#pragma once

#include <cstdint>
#include <span>

#include "guest-kernel/linux/server/memory_share.h"
#include "guest-kernel/linux/server/node.h"
#include "guest-kernel/linux/server/reference.h"
#include "guest-kernel/linux/server/user_buffer.h"

namespace linux_server {

class InotifyFile;
class FileWatch;
class ReadAhead;
struct Task;
class WaitQueue;

// What poll(2) asks and answers.
enum Readiness : std::uint32_t {
  kReadable = 0x1,
  kUrgent = 0x2,
  kWritable = 0x4,
  kError = 0x8,
  kHangUp = 0x10,
  kInvalid = 0x20,
  kReadHangUp = 0x2000,
};

// Which class an open file is of, for the calls that are for one kind only.
enum class FileKind : std::uint8_t {
  kOther,
  kPipe,
  kSocket,
  kEpoll,
  kEvent,
  kTimer,
  kProcess,
  kMessageQueue,
  kSignal,
  kTerminal,
  kTerminalMaster,
};

// An open file: what a descriptor refers to. Methods return what the system call does: a count, a
// negative errno or kBlocked.
class File : public Counted, public Charged<open_files_share> {
 public:
  // Shares `node`.
  File(Node& node, std::uint32_t flags);
  // Its locks end, and those who watch it or its node are told.
  ~File() override;

  Node& node() const { return *node_; }
  // As open(2)'s; fcntl changes some.
  std::uint32_t flags() const { return flags_; }
  void set_flags(std::uint32_t flags) { flags_ = flags; }
  bool may_read() const;
  bool may_write() const;
  // O_PATH: it only stands for a place.
  bool is_path_only() const;

  // Where the next read or write without an offset is. Each ends what a shim reads ahead.
  std::uint64_t position() const;
  void set_position(std::uint64_t position);
  // A read has come to `position`; the next one may go on there.
  void move_on(std::uint64_t position);
  // Enough reads came one after the other to believe in more.
  bool seems_to_go_on() const { return reads_in_row_ >= kReadsInRow; }
  void believe_in_more() { reads_in_row_ = kReadsInRow; }
  bool is_read_ahead() const { return read_ahead_ != nullptr; }
  void set_read_ahead(ReadAhead* read_ahead) { read_ahead_ = read_ahead; }

  // An InputSignal; null: nobody has named an owner or wants signals.
  Reference<Counted> input_signal;

  // At `offset`; files that are not seekable ignore it.
  virtual std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset);
  virtual std::int64_t write(Task& task, const UserBuffer& buffer, std::uint64_t offset);
  // Writes bytes of the server's own, for sendfile.
  virtual std::int64_t write_bytes(Task& task, std::span<const std::byte> bytes);
  // The same of a seekable file; where it has no offsets, as write_bytes().
  virtual std::int64_t write_bytes_at(Task& task, std::span<const std::byte> bytes,
                                      std::uint64_t offset);
  // Reads for the server itself, from a regular file. Negative errno.
  virtual std::int64_t read_bytes(std::uint64_t offset, std::span<std::byte> to);
  virtual bool is_seekable() const { return true; }
  // The size that SEEK_END counts from.
  virtual std::uint64_t size() const;
  // getdents64
  virtual std::int64_t list(Task& task, const UserBuffer& buffer);
  // ioctl
  virtual std::int64_t control(Task& task, std::uint64_t request, std::uint64_t argument);
  // fcntl's commands that only some kinds of file know (F_SETPIPE_SZ …).
  virtual std::int64_t command(Task& task, std::uint32_t command, std::uint64_t argument);
  // Which of Readiness hold now.
  virtual std::uint32_t readiness() const { return kReadable | kWritable; }
  virtual InotifyFile* inotify() { return nullptr; }
  // Woken when readiness() may have changed. Null: it is always the same, as a regular file's.
  virtual WaitQueue* changes() { return nullptr; }
  virtual FileKind kind() const { return FileKind::kOther; }
  // True where mmap gives zeroed memory rather than the file's bytes (/dev/zero).
  virtual bool maps_zeroes() const { return false; }
  // Which of shim::DescriptorKind hold: what a program's shim does without the server.
  virtual std::uint8_t shim_kind() const { return 0; }

 private:
  friend class FileWatch;

  static constexpr unsigned kReadsInRow = 3;

  Reference<Node> node_;
  std::uint64_t position_ = 0;
  ReadAhead* read_ahead_ = nullptr;  // the one that has the position
  std::uint32_t flags_;
  unsigned reads_in_row_ = 0;
  FileWatch* first_watch_ = nullptr;
};

// One who has to know when an open file is gone, and keeps no reference to it.
class FileWatch {
 public:
  FileWatch() = default;
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  void watch(File& file);
  void stop_watching();
  File* watched() const { return file_; }
  // The file that watches.
  virtual File& watcher() = 0;
  static FileWatch* first(const File& file) { return file.first_watch_; }
  FileWatch* next() const { return next_; }

 protected:
  ~FileWatch() { stop_watching(); }

 private:
  friend class File;
  // It is being destroyed, and no longer watched. May delete this.
  virtual void file_is_gone() = 0;

  File* file_ = nullptr;
  FileWatch* next_ = nullptr;
  FileWatch* previous_ = nullptr;
};

// An open directory. Its position is that of the last entry that was given.
class DirectoryFile : public File {
 public:
  using File::File;
  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t list(Task& task, const UserBuffer& buffer) override;
};

// An open file whose bytes do not change: one of the root archive.
class ContentsFile : public File {
 public:
  using File::File;
  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
};

}  // namespace linux_server
