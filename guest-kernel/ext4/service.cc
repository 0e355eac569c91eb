#include "guest-kernel/ext4/service.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ext4 {

std::string_view Service::take_name(std::uint64_t offset, std::uint64_t size, std::size_t place) {
  if (size >= names_[place].size() || offset > kNamesSize - size) {
    return {};
  }
  std::memcpy(names_[place].data(), shared_.data() + offset, size);
  const std::string_view name(names_[place].data(), size);
  return name.find('/') != name.npos || name.find('\0') != name.npos ? std::string_view() : name;
}

template <typename Record>
Record Service::take_record() const {
  Record record;
  std::memcpy(&record, data().data(), sizeof(record));
  return record;
}

template <typename Record>
void Service::put_record(const Record& record) {
  std::memcpy(data().data(), &record, sizeof(record));
}

int Service::mount(Words& answer) {
  if (mounted_) {
    return EBUSY;
  }
  std::array<std::byte, 16> random;
  std::memcpy(random.data(), data().data(), random.size());
  const int failed = volume_.mount(now_, random);
  mounted_ = failed == 0;
  answer[1] = volume_.is_read_only() ? 1 : 0;
  const std::string_view report = volume_.report();
  answer[2] = report.size();
  std::memcpy(data().data(), report.data(), report.size());
  return failed;
}

int Service::list(const Words& request, Words& answer) {
  std::uint64_t position = request[3];
  std::uint64_t used = 0;
  const int failed = volume_.list(static_cast<ext2_ino_t>(request[2]), position, data(), used);
  answer[1] = used;
  answer[2] = position;
  return failed;
}

int Service::create(const Words& request, Words& answer) {
  const auto what = take_record<InodeRecord>();
  const std::string_view name = take_name(0, request[3], 0);
  const std::uint64_t target_size = request[4];
  if ((name.empty() && request[3] != 0) || target_size > target_.size()) {
    return EINVAL;
  }
  std::memcpy(target_.data(), data().data() + sizeof(what), target_size);
  ext2_ino_t made = 0;
  const int failed = volume_.create(static_cast<ext2_ino_t>(request[2]), name, what,
                                    {target_.data(), target_size}, made);
  answer[1] = made;
  return failed;
}

int Service::rename(const Words& request) {
  const std::string_view name = take_name(0, request[2], 0);
  const std::string_view new_name = take_name(std::min(request[2], kNamesSize), request[3], 1);
  return name.empty() || new_name.empty()
             ? EINVAL
             : volume_.rename(take_record<RenameRecord>(), name, new_name);
}

// What changes or looks for ranges of a file.
int Service::run_range(const Words& request, Words& answer) {
  const auto inode = static_cast<ext2_ino_t>(request[2]);
  const std::uint64_t offset = request[3];
  const std::uint64_t size = request[4];
  switch (static_cast<Request>(request[0])) {
    case Request::kRead:
      return size > kDataSize ? EINVAL : volume_.read(inode, offset, data().first(size));
    case Request::kWrite:
      return size > kDataSize ? EINVAL
                              : volume_.write(inode, offset, data().first(size), answer[1]);
    case Request::kTruncate:
      return volume_.truncate(inode, offset);
    case Request::kAllocate:
      return volume_.allocate(inode, request[5] != 0, offset, size);
    case Request::kPunch:
      return volume_.punch(inode, offset, size);
    case Request::kZero:
      return volume_.zero_range(inode, request[5] != 0, offset, size);
    case Request::kSeek:
      return volume_.seek(inode, size != 0, offset, answer[1]);
    default:
      return EINVAL;
  }
}

int Service::run_attribute(const Words& request, Words& answer) {
  const auto inode = static_cast<ext2_ino_t>(request[2]);
  const std::uint64_t name_size = request[3];
  if (name_size >= names_[0].size()) {
    return ERANGE;
  }
  std::memcpy(names_[0].data(), shared_.data(), name_size);
  const std::string_view name(names_[0].data(), name_size);
  switch (static_cast<Request>(request[0])) {
    case Request::kGetAttribute:
      return volume_.get_attribute(inode, name, data(), answer[1]);
    case Request::kListAttributes:
      return volume_.list_attributes(inode, data(), answer[1]);
    case Request::kSetAttribute:
      return request[4] > kDataSize ? EINVAL
                                    : volume_.set_attribute(inode, name, data().first(request[4]));
    case Request::kRemoveAttribute:
      return volume_.remove_attribute(inode, name);
    default:
      return EINVAL;
  }
}

int Service::run(const Words& request, Words& answer) {
  const auto inode = static_cast<ext2_ino_t>(request[2]);
  switch (static_cast<Request>(request[0])) {
    case Request::kMount:
      return mount(answer);
    case Request::kGet: {
      InodeRecord record{};
      const int failed = volume_.get(inode, record);
      put_record(record);
      return failed;
    }
    case Request::kList:
      return list(request, answer);
    case Request::kReadLink:
      return volume_.read_link(inode, data().first(target_.size()), answer[1]);
    case Request::kStatistics: {
      StatisticsRecord record{};
      volume_.statistics(record);
      put_record(record);
      return 0;
    }
    case Request::kSetAttributes:
      return volume_.set_attributes(inode, take_record<InodeRecord>());
    case Request::kCreate:
      return create(request, answer);
    case Request::kLink:
    case Request::kRemove: {
      const std::string_view name = take_name(0, request[3], 0);
      const auto child = static_cast<ext2_ino_t>(request[4]);
      return request[0] == static_cast<std::uint64_t>(Request::kLink)
                 ? volume_.link(inode, name, child)
                 : volume_.remove(inode, name, child);
    }
    case Request::kRename:
      return rename(request);
    case Request::kRelease:
      return volume_.release(inode);
    case Request::kCommit:
      return commit();
    case Request::kStartCommit:
      commit_started_ = true;
      commit_number_ = request[2];
      return 0;
    case Request::kUnmount:
      return with_gathered(volume_.unmount());
    case Request::kRead:
    case Request::kWrite:
    case Request::kTruncate:
    case Request::kAllocate:
    case Request::kPunch:
    case Request::kZero:
    case Request::kSeek:
      return run_range(request, answer);
    case Request::kGetAttribute:
    case Request::kListAttributes:
    case Request::kSetAttribute:
    case Request::kRemoveAttribute:
      return run_attribute(request, answer);
  }
  return EINVAL;
}

int Service::commit() {
  return with_gathered(volume_.commit());
}

void Service::finish_commit() {
  commit_started_ = false;
  const CommitRecord record = {commit_number_, static_cast<std::uint64_t>(commit())};
  std::memcpy(shared_.data() + kCommitRecordOffset, &record, sizeof(record));
}

void Service::write_gathered(std::uint64_t size, Words& answer) {
  const auto all = shared_.subspan(kGatheredOffset, std::min(size, kGatheredSize));
  constexpr std::size_t kAlignment = 8;
  for (std::size_t at = 0; all.size() - at >= sizeof(GatheredWrite);) {
    const auto write = read_as<GatheredWrite>(all.data() + at);
    at += sizeof(write);
    std::uint64_t done = 0;
    int failed = EINVAL;
    if (write.size <= all.size() - at) {
      volume_.begin_request(write.time);
      failed = volume_.write(write.inode, write.offset, all.subspan(at, write.size), done);
      failed = failed == 0 && done != write.size ? ENOSPC : failed;
    }
    gathered_result_ = gathered_result_ != 0 ? gathered_result_ : failed;
    InodeRecord record{};
    answer[7] = volume_.get(write.inode, record) == 0 ? record.allocated : 0;
    at = std::min<std::size_t>(all.size(),
                               (at + write.size + kAlignment - 1) / kAlignment * kAlignment);
  }
}

Service::Words Service::answer(const Words& request) {
  Words answer{};
  now_ = static_cast<std::int64_t>(request[1]);
  if (!mounted_ && request[0] != static_cast<std::uint64_t>(Request::kMount)) {
    answer[0] = EIO;
    return answer;
  }
  if (mounted_) {
    write_gathered(request[6], answer);
  }
  volume_.begin_request(now_);
  answer[0] = static_cast<std::uint64_t>(run(request, answer));
  answer[6] = volume_.room();
  return answer;
}

}  // namespace ext4
