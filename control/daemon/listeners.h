#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace ensemble::control {

// Who wants to hear of something. A handler may add and remove handlers, its own included; one that
// was removed is not called any more. Used by one thread.
template <typename... Arguments>
class Listeners {
 public:
  using Handler = std::function<void(Arguments...)>;

  std::uint64_t add(Handler handler) {
    handlers_.emplace(++last_, std::make_shared<Handler>(std::move(handler)));
    return last_;
  }
  void remove(std::uint64_t id) { handlers_.erase(id); }
  bool empty() const { return handlers_.empty(); }

  void tell(Arguments... arguments) {
    std::vector<std::uint64_t> ids;
    ids.reserve(handlers_.size());
    for (const auto& [id, handler] : handlers_) {
      ids.push_back(id);
    }
    for (const std::uint64_t id : ids) {
      if (const auto found = handlers_.find(id); found != handlers_.end()) {
        const std::shared_ptr<Handler> handler = found->second;
        (*handler)(arguments...);
      }
    }
  }

 private:
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, std::shared_ptr<Handler>> handlers_;
};

}  // namespace ensemble::control
