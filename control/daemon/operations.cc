#include "control/daemon/operations.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <vector>

#include "control/daemon/device_record.h"

namespace ensemble::control {
namespace {

using google::protobuf::util::TimeUtil;

constexpr std::int64_t kKeptSeconds = 3600;
constexpr std::size_t kMostKept = 1000;

PageStart place_of(const v1::Operation& operation) {
  // Newest first.
  return {.time = -TimeUtil::TimestampToNanoseconds(operation.create_time()),
          .key = operation.name()};
}

}  // namespace

Result<void> Operations::load() {
  auto stored = store_.operations();
  if (!stored) {
    return std::unexpected(stored.error());
  }
  for (v1::Operation& operation : *stored) {
    const std::string name = operation.name();
    const bool done = operation.done();
    entries_[name].operation = std::move(operation);
    if (!done) {
      end(name, std::unexpected(ApiError(
                    grpc::ABORTED, "DAEMON_RESTARTED",
                    "the daemon was started anew meanwhile; the device's state says how far it "
                    "came")));
    }
  }
  return {};
}

ApiResult<std::string> Operations::begin(const std::string& verb, const std::string& target,
                                         std::function<void()> cancel) {
  forget_old();
  v1::Operation operation;
  operation.set_name("operations/" + new_uid().substr(0, 16));
  operation.set_verb(verb);
  operation.set_target(target);
  operation.set_cancellable(cancel != nullptr);
  // Each a little later than the last one, whatever the host's clock does.
  last_time_ = std::max(last_time_ + 1, TimeUtil::TimestampToNanoseconds(now()));
  *operation.mutable_create_time() = TimeUtil::NanosecondsToTimestamp(last_time_);
  if (auto stored = store_.put(operation); !stored) {
    return std::unexpected(
        ApiError(grpc::UNAVAILABLE, "STATE_NOT_STORED", stored.error().message()));
  }
  const std::string name = operation.name();
  Entry& entry = entries_[name];
  entry.operation = std::move(operation);
  entry.cancel = std::move(cancel);
  return name;
}

void Operations::end(const std::string& name, const ApiResult<void>& result) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    return;
  }
  v1::Operation& operation = found->second.operation;
  operation.set_done(true);
  operation.set_cancellable(false);
  found->second.cancel = nullptr;
  *operation.mutable_end_time() = now();
  if (!result && found->second.is_cancelled) {
    *operation.mutable_error() =
        ApiError(grpc::CANCELLED, "CANCELLED", "it was cancelled").to_proto();
  } else if (!result) {
    *operation.mutable_error() = result.error().to_proto();
  }
  if (auto stored = store_.put(operation); !stored) {
    spdlog::error("{}", stored.error().message());
  }
  const v1::Operation last = operation;
  found->second.listeners.tell(last);
}

void Operations::discard(const std::vector<std::string>& names) {
  if (auto removed = store_.remove_operations(names); !removed) {
    spdlog::error("{}", removed.error().message());
  }
  for (const std::string& name : names) {
    entries_.erase(name);
  }
}

ApiResult<v1::Operation> Operations::get(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    return not_found("operation", name);
  }
  return found->second.operation;
}

ApiResult<v1::ListOperationsResponse> Operations::list(
    const v1::ListOperationsRequest& request) const {
  const auto size = page_size(request.page_size());
  const auto start = parse_page_token(request.page_token(), {});
  if (!size || !start) {
    return std::unexpected(size ? start.error() : size.error());
  }
  std::vector<const v1::Operation*> sorted;
  for (const auto& [name, entry] : entries_) {
    if (place_of(entry.operation) > *start) {
      sorted.push_back(&entry.operation);
    }
  }
  std::ranges::sort(sorted, {},
                    [](const v1::Operation* operation) { return place_of(*operation); });
  v1::ListOperationsResponse response;
  for (const v1::Operation* operation : sorted) {
    if (response.operations_size() == static_cast<int>(*size)) {
      const auto& last = response.operations(response.operations_size() - 1);
      response.set_next_page_token(to_page_token(place_of(last), {}));
      break;
    }
    *response.add_operations() = *operation;
  }
  return response;
}

ApiResult<void> Operations::cancel(const std::string& name) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    return not_found("operation", name);
  }
  if (found->second.operation.done()) {
    return {};
  }
  if (found->second.cancel == nullptr) {
    return failed_precondition(
        "NOT_CANCELLABLE",
        fmt::format("{}, which is to {} {}, cannot be cancelled", name,
                    found->second.operation.verb(), found->second.operation.target()));
  }
  found->second.is_cancelled = true;
  const auto cancel = found->second.cancel;
  cancel();
  return {};
}

std::uint64_t Operations::watch(const std::string& name, Handler handler) {
  return entries_.at(name).listeners.add(std::move(handler));
}

void Operations::unwatch(const std::string& name, std::uint64_t id) {
  if (const auto found = entries_.find(name); found != entries_.end()) {
    found->second.listeners.remove(id);
  }
}

void Operations::forget_old() {
  const std::int64_t oldest = TimeUtil::TimestampToSeconds(now()) - kKeptSeconds;
  std::vector<std::pair<std::int64_t, std::string>> ended;
  for (const auto& [name, entry] : entries_) {
    if (entry.operation.done() && entry.listeners.empty()) {
      ended.emplace_back(TimeUtil::TimestampToSeconds(entry.operation.end_time()), name);
    }
  }
  std::ranges::sort(ended);
  std::vector<std::string> old;
  for (std::size_t i = 0; i < ended.size(); ++i) {
    if (ended[i].first >= oldest && ended.size() - i < kMostKept) {
      break;
    }
    old.push_back(ended[i].second);
  }
  if (!old.empty()) {
    discard(old);
  }
}

}  // namespace ensemble::control
