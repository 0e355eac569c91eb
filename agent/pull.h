#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/conversation.h"
#include "agent/digest.h"

namespace ensemble::agent {

// A file that the host reads: as much as it has when it is opened, or, where it says that it has
// nothing as files of /proc do, until its end.
class Pull final : public Conversation {
 public:
  using Conversation::Conversation;
  ~Pull() override;
  void start(std::string_view body);
  void take(const FrameHeader& /*header*/, std::string_view /*body*/) override {}
  void pump() override;
  // What lies before the offset counts for the checksum only.
  bool has_work() const override { return file_ >= 0 && done_ < offset_; }
  void work() override;

 private:
  bool has_changed() const;
  // False: the file has been read, or cannot be.
  bool read(std::size_t most, std::string_view& bytes);

  std::string path_;
  int file_ = -1;
  struct stat first_ {};      // when it was opened
  std::uint64_t size_ = 0;    // 0: until the end
  std::uint64_t offset_ = 0;  // the first byte that is wanted
  std::uint64_t done_ = 0;    // bytes read, from the file's start
  Digest digest_;
};

}  // namespace ensemble::agent
