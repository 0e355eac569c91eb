#include "guest-kernel/linux/server/ipc/anonymous_file.h"

#include <new>

#include "guest-kernel/lib/format.h"

namespace linux_server {

AnonymousNode::AnonymousNode(std::string_view prefix, std::uint32_t mode, bool numbered)
    : Node(std::string_view{}, mode) {
  attributes_.device = kVirtualDevice;
  guest::TextWriter text(text_);
  text.text(prefix);
  if (numbered) {
    text.text(":[").decimal(attributes_.inode).put(']');
  }
  set_name(text.view());
}

Reference<AnonymousNode> make_pipe_node() {
  return Reference<AnonymousNode>(new AnonymousNode("pipe", kNamedPipe | 0600, true));
}
Reference<AnonymousNode> make_socket_node() {
  return Reference<AnonymousNode>(new AnonymousNode("socket", kSocket | 0777, true));
}
Reference<AnonymousNode> make_event_node(std::string_view name) {
  return Reference<AnonymousNode>(new AnonymousNode(name, 0600, false));
}

}  // namespace linux_server
