#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "control/daemon/api_error.h"
#include "control/daemon/listeners.h"
#include "control/daemon/page.h"
#include "control/daemon/state_store.h"
#include "control/ensemble/v1/operations.pb.h"

namespace ensemble::control {

// Work that outlasts a call. Belongs to the event loop's thread. Operations are kept for an hour
// after their end, at most 1000 of those that have ended.
class Operations {
 public:
  using Handler = std::function<void(const v1::Operation& operation)>;

  explicit Operations(StateStore& store) : store_(store) {}

  // Reads what an earlier daemon has left. What had not ended then has ended with ABORTED now.
  Result<void> load();

  // `cancel` asks the work to end early; null: it cannot be cancelled.
  ApiResult<std::string> begin(const std::string& verb, const std::string& target,
                               std::function<void()> cancel);
  void end(const std::string& name, const ApiResult<void>& result);
  // Takes back one that has not begun.
  void discard(const std::string& name) { discard(std::vector<std::string>{name}); }

  ApiResult<v1::Operation> get(const std::string& name) const;
  ApiResult<v1::ListOperationsResponse> list(const v1::ListOperationsRequest& request) const;
  ApiResult<void> cancel(const std::string& name);

  // Calls `handler` at each change of the operation, its end being the last. The name exists.
  std::uint64_t watch(const std::string& name, Handler handler);
  void unwatch(const std::string& name, std::uint64_t id);

 private:
  struct Entry {
    v1::Operation operation;
    std::function<void()> cancel;
    bool is_cancelled = false;
    Listeners<const v1::Operation&> listeners;
  };

  void forget_old();
  void discard(const std::vector<std::string>& names);

  StateStore& store_;
  std::int64_t last_time_ = 0;
  std::map<std::string, Entry> entries_;
};

}  // namespace ensemble::control
