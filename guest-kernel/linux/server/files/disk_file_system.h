#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "guest-kernel/ext4/protocol.h"
#include "guest-kernel/ext4/role.h"
#include "guest-kernel/linux/server/files/disk_gatherer.h"
#include "guest-kernel/linux/server/ipc/event_timer.h"
#include "guest-kernel/linux/server/task.h"

struct statfs;

namespace linux_server {

class DiskFile;

// The file system of the machine's disk, which a program of its own keeps (guest-kernel/ext4). It
// is started and mounted when something first asks for it. Methods return 0 or an errno; each but
// sync() waits for that program, and the server with it.
class DiskFileSystem : private EventTimer {
 public:
  using Words = std::array<std::uint64_t, 8>;

  // Whether the machine has one.
  static bool exists();
  // Mounts it, the first time.
  int mount();
  bool is_mounted() const { return state_ == State::kMounted; }

  // `words`: m2 … of a request (ext4/protocol.h); then m1 … of the answer.
  int call(ext4::Request request, Words& words);
  // How many there were: each may have used data().
  std::uint64_t calls() const { return calls_; }
  // A place for `size` bytes that are to be written to a file, or nothing: then they cannot be
  // gathered. Good until the next call().
  std::span<std::byte> place_to_gather(std::uint64_t inode, std::uint64_t offset,
                                       std::uint64_t size) const {
    return state_ == State::kMounted ? gatherer_.place(inode, offset, size)
                                     : std::span<std::byte>();
  }
  // The first `size` bytes of it are there; the next call() takes them along. They are written, in
  // order, before what it asks for.
  void gathered(DiskFile& file, std::uint64_t offset, std::uint64_t size);
  // The file ends.
  void forget(const DiskFile& file);
  // The same for one that changes something: a commit follows within seconds.
  int change(ext4::Request request, Words& words);
  // After it all changes survive a power cut.
  int commit();
  // The same for a program's call, which waits for it while others go on: what the call returns, or
  // kBlocked.
  std::int64_t sync(Task& task);
  // A commit that was started has ended.
  void take_commit();
  // What statfs(2) says of its size.
  int describe(struct statfs& result);
  // Commits, and leaves nothing to replay.
  void unmount();

  // What is shared with the program; it may change what it gave there.
  std::span<char> names() const { return {reinterpret_cast<char*>(shared_), ext4::kNamesSize}; }
  std::span<std::byte> data() const { return {shared_ + ext4::kNamesSize, ext4::kDataSize}; }
  // Puts a name there. False: it does not fit.
  bool put_name(std::string_view name, std::size_t offset = 0) const;

  template <typename Record>
  Record record() const {
    Record value;
    __builtin_memcpy(&value, data().data(), sizeof(value));
    return value;
  }
  template <typename Record>
  void put_record(const Record& value) const {
    __builtin_memcpy(data().data(), &value, sizeof(value));
  }

  // The files that are known, one after another.
  DiskFile* first_file = nullptr;

 private:
  enum class State : std::uint8_t { kUnknown, kMounted, kFailed };

  int write_back_files();
  int start_commit();
  void end_commit(int result);
  void note_change();
  void expire() override;
  void say(std::string_view text, int error) const;

  State state_ = State::kUnknown;
  std::uint64_t port_ = 0;
  std::uint64_t calls_ = 0;
  std::byte* shared_ = nullptr;
  bool is_changed_ = false;  // since the last commit was started
  bool is_committing_ = false;
  bool has_failed_ = false;  // a commit has: no later one succeeds
  // Commits that sync() started, and those of them that have ended, the last with that result.
  std::int64_t started_ = 0;
  std::int64_t ended_ = 0;
  int commit_result_ = 0;
  WaitQueue commits_;
  // Writes that the next call takes along, and the file of the last of them.
  DiskGatherer gatherer_;
  DiskFile* gathered_file_ = nullptr;
};

// The one.
DiskFileSystem& disk_file_system();

}  // namespace linux_server
