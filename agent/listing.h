#pragma once

#include <dirent.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "agent/conversation.h"

namespace ensemble::agent {

// kStat, which is said at once, and kList, in turns: a directory may have very many names.
class Listing final : public Conversation {
 public:
  using Conversation::Conversation;
  ~Listing() override;
  void stat(std::string_view body);
  void list(std::string_view body);
  void take(const FrameHeader& /*header*/, std::string_view /*body*/) override {}
  bool has_work() const override { return directory_ != nullptr && !is_congested(); }
  void work() override;

 private:
  void look(const std::string& path);

  DIR* directory_ = nullptr;
  std::vector<std::string> names_;
  std::size_t told_ = 0;
};

}  // namespace ensemble::agent
