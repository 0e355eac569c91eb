#include "guest-kernel/linux/server/files/disk_file_system.h"

#include <asm/statfs.h>
#include <linux/magic.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/files/disk_nodes.h"
#include "guest-kernel/linux/server/mounts.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

constexpr std::uint64_t kCommitInterval = 5'000'000'000;  // ns
constexpr std::uint64_t kMostErrno = 4095;

// No destructor runs.
alignas(DiskFileSystem) std::byte instance_memory[sizeof(DiskFileSystem)];

}  // namespace

DiskFileSystem& disk_file_system() {
  static DiskFileSystem* const instance = new (instance_memory) DiskFileSystem();
  return *instance;
}

bool DiskFileSystem::exists() {
  return server().info().find(ext4::kRole) != nullptr;
}

void DiskFileSystem::say(std::string_view text, int error) const {
  std::array<char, 256> line;
  guest::TextWriter writer(line);
  writer.text("linux server: /data: ").text(text);
  if (error != 0) {
    writer.text(" (error ").decimal(static_cast<std::uint64_t>(error)).text(")");
  }
  server().report(writer.view());
}

int DiskFileSystem::mount() {
  if (state_ != State::kUnknown) {
    return state_ == State::kMounted ? 0 : EIO;
  }
  state_ = State::kFailed;
  const guest::Resource* resource = server().late_resource(ext4::kRole);
  if (resource == nullptr || resource->size < ext4::kSharedSize) {
    return EIO;
  }
  port_ = resource->slot;
  shared_ = reinterpret_cast<std::byte*>(resource->address);
  gatherer_.use(shared_ + ext4::kGatheredOffset);
  state_ = State::kMounted;
  server().random().fill(data().first(16));
  Words words{};
  const int failed = call(ext4::Request::kMount, words);
  if (state_ == State::kMounted && (failed != 0 || words[1] != 0)) {
    const std::string_view report(reinterpret_cast<const char*>(data().data()),
                                  std::min<std::uint64_t>(words[1], 160));
    say(report, failed);
  }
  state_ = failed == 0 ? state_ : State::kFailed;
  if (failed != 0 || words[0] != 0) {
    for (const Mount& each : mounts()) {
      if (each.magic == EXT4_SUPER_MAGIC) {
        set_read_only(each.device);
      }
    }
  }
  return failed;
}

int DiskFileSystem::call(ext4::Request request, Words& words) {
  if (state_ != State::kMounted) {
    return EIO;
  }
  ++calls_;
  guest::Message message;
  message[0] = static_cast<std::uint64_t>(request);
  message[1] = static_cast<std::uint64_t>(file_time());
  std::copy_n(words.begin(), 4, message.word.begin() + 2);
  message[6] = gatherer_.take();
  DiskFile* const gathered_file = std::exchange(gathered_file_, nullptr);
  if (guest::call(port_, message) != guest::Status::kOk) {
    state_ = State::kFailed;
    cancel();
    end_commit(EIO);
    say("the program that keeps it died; what was committed is safe", 0);
    return EIO;
  }
  std::copy_n(message.word.begin() + 1, 5, words.begin());
  gatherer_.set_room(message[6]);
  if (gathered_file != nullptr) {
    gathered_file->set_allocated(message[7]);
  }
  return message[0] <= kMostErrno ? static_cast<int>(message[0]) : EIO;
}

void DiskFileSystem::note_change() {
  is_changed_ = true;
  if (!is_set()) {
    set(guest::monotonic_ns() + kCommitInterval);
  }
}

int DiskFileSystem::change(ext4::Request request, Words& words) {
  const int failed = call(request, words);
  is_changed_ = true;
  if (failed == 0) {
    note_change();
  }
  return failed;
}

void DiskFileSystem::gathered(DiskFile& file, std::uint64_t offset, std::uint64_t size) {
  gatherer_.add(file.inode(), offset, size, file_time());
  gathered_file_ = &file;
  note_change();
}

void DiskFileSystem::forget(const DiskFile& file) {
  gathered_file_ = gathered_file_ == &file ? nullptr : gathered_file_;
}

int DiskFileSystem::write_back_files() {
  for (DiskFile* file = first_file; file != nullptr; file = file->next_file) {
    if (const int failed = file->write_back()) {
      return failed;
    }
  }
  return 0;
}

int DiskFileSystem::commit() {
  if (state_ == State::kUnknown) {
    return 0;
  }
  if (const int failed = write_back_files()) {
    return failed;
  }
  if (!is_committing_) {
    cancel();
  }
  is_changed_ = false;
  Words words{};
  const int failed = call(ext4::Request::kCommit, words);
  has_failed_ = has_failed_ || failed != 0;
  return failed;
}

int DiskFileSystem::start_commit() {
  Words words = {static_cast<std::uint64_t>(started_ + 1)};
  if (const int failed = call(ext4::Request::kStartCommit, words)) {
    return failed;
  }
  is_changed_ = false;
  is_committing_ = true;
  ++started_;
  // Then expire() sees whether the program still lives.
  set(guest::monotonic_ns() + kCommitInterval);
  return 0;
}

void DiskFileSystem::end_commit(int result) {
  if (is_committing_) {
    is_committing_ = false;
    ended_ = started_;
    commit_result_ = result;
    has_failed_ = has_failed_ || result != 0;
    cancel();
    if (is_changed_ && state_ == State::kMounted) {
      set(guest::monotonic_ns() + kCommitInterval);
    }
    commits_.wake();
  }
}

void DiskFileSystem::take_commit() {
  if (is_committing_) {
    ext4::CommitRecord record;
    std::memcpy(&record, shared_ + ext4::kCommitRecordOffset, sizeof(record));
    // Else the signal was an earlier one's.
    if (record.number == static_cast<std::uint64_t>(started_)) {
      end_commit(record.result <= kMostErrno ? static_cast<int>(record.result) : EIO);
    }
  }
}

std::int64_t DiskFileSystem::sync(Task& task) {
  if (state_ == State::kUnknown) {
    return 0;
  }
  if (task.progress == 0) {
    // One that is under way may have passed by what is meant.
    task.progress = started_ + 1;
  }
  // Signals count again once it is over.
  task.uninterruptible = false;
  if (ended_ >= task.progress) {
    return -commit_result_;
  }
  if (state_ == State::kFailed) {
    return -EIO;
  }
  if (!is_committing_) {
    if (const int failed = write_back_files()) {
      return -failed;
    }
    if (!is_changed_ && !has_failed_) {
      return 0;  // an earlier commit has it all
    }
    if (const int failed = start_commit()) {
      return -failed;
    }
  }
  task.uninterruptible = true;
  return task.wait(commits_);
}

int DiskFileSystem::describe(struct statfs& result) {
  Words words{};
  if (mount() != 0 || call(ext4::Request::kStatistics, words) != 0) {
    return EIO;
  }
  const auto statistics = record<ext4::StatisticsRecord>();
  result.f_bsize = result.f_frsize = static_cast<std::int64_t>(statistics.block_size);
  result.f_blocks = static_cast<std::int64_t>(statistics.blocks);
  result.f_bfree = result.f_bavail = static_cast<std::int64_t>(statistics.free_blocks);
  result.f_files = static_cast<std::int64_t>(statistics.inodes);
  result.f_ffree = static_cast<std::int64_t>(statistics.free_inodes);
  return 0;
}

void DiskFileSystem::expire() {
  if (is_committing_) {
    // Which waits for it, and sees whether the program lives.
    Words words{};
    static_cast<void>(call(ext4::Request::kStatistics, words));
    take_commit();
  } else if (state_ == State::kMounted && commit() != 0) {
    say("what was written cannot be committed", EIO);
  }
}

void DiskFileSystem::unmount() {
  if (state_ != State::kMounted) {
    return;
  }
  const int failed = commit();
  Words words{};
  const int failed_after = call(ext4::Request::kUnmount, words);
  if (failed != 0 || failed_after != 0) {
    say("what was written cannot be committed", failed != 0 ? failed : failed_after);
  }
}

bool DiskFileSystem::put_name(std::string_view name, std::size_t offset) const {
  if (offset > names().size() || name.size() > names().size() - offset) {
    return false;
  }
  std::copy(name.begin(), name.end(), names().begin() + static_cast<std::ptrdiff_t>(offset));
  return true;
}

}  // namespace linux_server
