#pragma once

#include <nettle/sha2.h>
#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "agent/conversation.h"

namespace ensemble::agent {

// kStat and kList: said at once.
class Listing final : public Conversation {
 public:
  using Conversation::Conversation;
  void stat(std::string_view body);
  void list(std::string_view body);
  void take(const FrameHeader& /*header*/, std::string_view /*body*/) override {}
};

// A file that the host reads.
class Pull final : public Conversation {
 public:
  using Conversation::Conversation;
  ~Pull() override;
  void start(std::string_view body);
  void take(const FrameHeader& /*header*/, std::string_view /*body*/) override {}
  void pump() override;

 private:
  std::string path_;
  int file_ = -1;
  struct stat before_ = {};
  std::uint64_t offset_ = 0;  // the first byte that is wanted
  std::uint64_t done_ = 0;    // bytes read, from the file's start
  sha256_ctx digest_ = {};
};

// A file that the host writes: beside its place, and moved there once it is complete and its
// checksum right. What a broken push leaves is kept for a resumed one.
class Push final : public Conversation {
 public:
  using Conversation::Conversation;
  ~Push() override;
  void start(std::string_view body);
  // kPushState: how much of a broken one is there.
  void tell_state(std::string_view body);
  void take(const FrameHeader& header, std::string_view body) override;

 private:
  bool prepare(bool make_directories);
  bool resume(std::uint64_t offset);
  void write(std::string_view bytes);
  void complete();
  bool settle();

  std::string path_;
  std::string partial_;  // where it is written
  std::string sha256_;
  std::uint64_t size_ = 0;
  std::uint64_t done_ = 0;
  std::uint32_t written_ = 0;  // bytes that the host has no new credit for yet
  std::uint32_t mode_ = 0;
  std::uint32_t user_ = 0;
  std::uint32_t group_ = 0;
  std::uint32_t flags_ = 0;
  std::int64_t time_ns_ = 0;
  int file_ = -1;
  sha256_ctx digest_ = {};
};

}  // namespace ensemble::agent
