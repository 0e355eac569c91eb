#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/conversation.h"
#include "agent/digest.h"

namespace ensemble::agent {

// A file that the host writes: beside its place, and moved there once it is complete and its
// checksum right. What a broken push leaves is kept for a resumed one. Or a directory or a link.
class Push final : public Conversation {
 public:
  using Conversation::Conversation;
  ~Push() override;
  void start(std::string_view body);
  // kPushState: how much of a broken one is there.
  void tell_state(std::string_view body);
  void take(const FrameHeader& header, std::string_view body) override;
  // A resumed one is read from its start once it is complete.
  bool has_work() const override { return checking_; }
  void work() override;

 private:
  bool is_well_formed() const;
  bool make_directories();
  void make_directory();
  void make_link(const std::string& target);
  bool open_partial();
  void write(std::string_view bytes);
  void complete();
  void conclude(const std::string& digest);
  bool set_attributes() const;
  bool settle();

  std::string path_;
  std::string partial_;  // where it is written
  std::string sha256_;
  std::uint64_t size_ = 0;
  std::uint64_t offset_ = 0;
  std::uint64_t done_ = 0;
  std::uint32_t written_ = 0;  // bytes that the host has no new credit for yet
  std::uint32_t mode_ = 0;
  std::uint32_t user_ = 0;
  std::uint32_t group_ = 0;
  std::uint32_t flags_ = 0;
  std::int64_t time_ns_ = 0;
  int file_ = -1;
  bool checking_ = false;
  Digest digest_;
};

}  // namespace ensemble::agent
