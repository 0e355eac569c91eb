#include "agent/conversation.h"

#include <cstring>

#include "agent/wire.h"

namespace ensemble::agent {

void Conversation::fail(const std::string& what, std::string_view path, int error) {
  BodyWriter body;
  body.text("cannot " + what + " '" + std::string(path) + "': " + std::strerror(error));
  finish(FrameType::kFailed, static_cast<std::uint32_t>(error), body.body());
}

void Conversation::refuse(std::string_view sentence, int error) {
  finish(FrameType::kFailed, static_cast<std::uint32_t>(error), BodyWriter().text(sentence).body());
}

}  // namespace ensemble::agent
