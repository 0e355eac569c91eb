#pragma once

#include <cstdint>
#include <string_view>

namespace linux_server {

class Node;

// What inotify(7) tells of.
enum NodeEvent : std::uint32_t {
  kAccessed = 0x1,
  kModified = 0x2,
  kAttributesChanged = 0x4,
  kClosedWritten = 0x8,
  kClosedUnwritten = 0x10,
  kOpened = 0x20,
  kMovedFrom = 0x40,
  kMovedTo = 0x80,
  kCreated = 0x100,
  kDeleted = 0x200,
  kSelfDeleted = 0x400,
  kSelfMoved = 0x800,
  kOfDirectory = 0x4000'0000,
};

// Tells those who watch `node`, and those who watch its directory. Cheap where nobody does.
void notify(Node& node, std::uint32_t event);
// Tells those who watch `directory` of an event of its entry `name`.
void notify_entry(Node& directory, std::uint32_t event, std::string_view name,
                  std::uint32_t cookie = 0);
// Tells those who watch `node` only.
void notify_self(Node& node, std::uint32_t event);
// The node ends: so do its watches.
void end_watches(Node& node);

}  // namespace linux_server
