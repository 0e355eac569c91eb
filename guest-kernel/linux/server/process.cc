#include "guest-kernel/linux/server/process.h"

#include <algorithm>

namespace linux_server {

void Process::set_name(std::string_view name) {
  name_size_ = std::min(name.size(), name_.size() - 1);
  std::copy_n(name.data(), name_size_, name_.data());
  name_[name_size_] = '\0';
}

void Process::publish_heap() {
  if (shim_page != nullptr) {
    shim_page->heap_end = space_.heap_end();
    shim_page->heap_limit = space_.heap_limit();
  }
}

}  // namespace linux_server
