#include "control/daemon/device_table.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>
#include <vector>

#include "control/daemon/device_filter.h"
#include "control/daemon/device_record.h"

namespace ensemble::control {
namespace {

using google::protobuf::util::TimeUtil;

constexpr std::size_t kShortestUid = 4;
constexpr std::size_t kUidLength = 32;
// In bytes: gRPC's clients take in messages of 4 MiB.
constexpr std::size_t kLargestPage = std::size_t{3} << 20;

// When a device tries again what the host did not let happen; also how long a process that has
// closed its connection may take to end.
constexpr std::chrono::milliseconds kRetryPause{500};

bool is_uid_part(std::string_view text) {
  return !text.empty() && text.size() <= kUidLength &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

ApiResult<void> check_etag(const v1::Device& record, const std::string& etag) {
  if (etag.empty() || etag == record.etag()) {
    return {};
  }
  return std::unexpected(
      ApiError(grpc::ABORTED, "DEVICE_CHANGED",
               fmt::format("{} has changed since it was read; read it again", record.name()))
          .about("etag", etag, record.etag()));
}

// Whether a folder has a device's name.
bool is_uid(std::string_view text) {
  return text.size() == kUidLength && is_uid_part(text);
}

}  // namespace

bool has_devices(const std::string& folders) {
  std::error_code failed;
  std::filesystem::directory_iterator at(folders, failed);
  for (const std::filesystem::directory_iterator end; !failed && at != end; at.increment(failed)) {
    if (is_uid(at->path().filename().string())) {
      return true;
    }
  }
  return false;
}

DeviceTable::DeviceTable(vmm::EventLoop& loop, StateStore& store, ProfileStore& profiles,
                         const InstallationFiles& files, Options options)
    : store_(store),
      profiles_(profiles),
      options_(std::move(options)),
      surroundings_(make_surroundings(loop, store, profiles, files)) {}

DeviceSurroundings DeviceTable::make_surroundings(vmm::EventLoop& loop, StateStore& store,
                                                  ProfileStore& profiles,
                                                  const InstallationFiles& files) {
  return {.loop = loop,
          .store = store,
          .files = files,
          .folders = options_.folders,
          .log_level = options_.log_level,
          .groups = options_.groups,
          .profile = [&profiles](const std::string& name) { return profiles.load(name); },
          .admit = [this](const v1::Device& device,
                          std::uint64_t memory) { return admit(device, memory); },
          .changed =
              [this](const v1::Device& device) {
                const v1::Device copy = device;
                listeners_.tell(v1::DeviceEvent::KIND_CHANGED, copy);
              },
          .try_later =
              [this](const std::string& uid) {
                if (retrying_.empty()) {
                  retry_timer_->set(kRetryPause);
                }
                retrying_.insert(uid);
              }};
}

PageStart DeviceTable::place_of(const v1::Device& device) {
  return {.time = TimeUtil::TimestampToNanoseconds(device.create_time()), .key = device.uid()};
}

void DeviceTable::try_again() {
  const auto due = std::exchange(retrying_, {});
  std::vector<ManagedDevice*> devices;
  for (const auto& [place, device] : devices_) {
    if (due.contains(place.key)) {
      devices.push_back(device.get());
    }
  }
  for (ManagedDevice* device : devices) {
    device->try_again();
  }
}

Result<void> DeviceTable::load() {
  // Made first: it is for times when no more can be had.
  auto timer = LoopTimer::create(surroundings_.loop, [this] { try_again(); });
  if (!timer) {
    return std::unexpected(timer.error());
  }
  retry_timer_ = std::move(*timer);
  auto records = store_.devices();
  if (!records) {
    return std::unexpected(records.error());
  }
  for (v1::Device& record : *records) {
    insert(std::move(record));
  }
  adopt_orphans();
  std::vector<ManagedDevice*> all;
  for (const auto& [place, device] : devices_) {
    all.push_back(device.get());
  }
  for (ManagedDevice* device : all) {
    device->recover();
    if (device->record().status().state() == v1::DEVICE_STATE_DELETING) {
      const std::string name = device->record().name();
      remove(*device, [name](const ApiResult<void>& removed) {
        if (!removed) {
          spdlog::error("{}", removed.error().message());
        }
      });
    }
  }
  return {};
}

// A folder without a record is of a device that the state file does not know (any more). It gets a
// record, as one that is being deleted, and goes that way.
void DeviceTable::adopt_orphans() {
  std::set<std::string> known;
  for (const auto& [place, device] : devices_) {
    known.insert(place.key);
  }
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(options_.folders, failed)) {
    const std::string uid = entry.path().filename().string();
    if (known.contains(uid)) {
      continue;
    }
    if (!is_uid(uid)) {
      spdlog::warn("'{}' is no folder of a device; it is left alone", entry.path().string());
      continue;
    }
    v1::Device record;
    record.set_uid(uid);
    record.set_name(fmt::format("{}orphan-{}", kDevicePrefix, uid));
    *record.mutable_create_time() = now();
    record.mutable_status()->set_state(v1::DEVICE_STATE_DELETING);
    if (auto stored = store_.add(record); !stored) {
      spdlog::error("{}", stored.error().message());
      continue;
    }
    spdlog::warn("'{}' belongs to no device and is removed", entry.path().string());
    insert(std::move(record));
  }
}

ManagedDevice& DeviceTable::insert(v1::Device record) {
  const PageStart place = place_of(record);
  last_time_ = std::max(last_time_, place.time);
  const std::string name = record.name();
  auto& device =
      devices_.emplace(place, std::make_unique<ManagedDevice>(surroundings_, std::move(record)))
          .first->second;
  by_name_[name] = device.get();
  return *device;
}

ApiResult<v1::Device> DeviceTable::create(const v1::CreateDeviceRequest& request) {
  auto record = make_record(request);
  if (!record || request.validate_only()) {
    return record;
  }
  if (auto stored = store_.add(*record); !stored) {
    return std::unexpected(
        ApiError(grpc::UNAVAILABLE, "STATE_NOT_STORED", stored.error().message()));
  }
  insert(*record);
  listeners_.tell(v1::DeviceEvent::KIND_ADDED, *record);
  return record;
}

ApiResult<v1::Device> DeviceTable::make_record(const v1::CreateDeviceRequest& request) {
  auto checked = check_spec(request.device().spec());
  if (checked) {
    checked = check_labels(request.device().labels());
  }
  if (!checked) {
    return std::unexpected(checked.error());
  }
  const auto profile = profiles_.load(request.device().spec().profile());
  if (!profile) {
    return std::unexpected(profile.error());
  }
  auto id = choose_id(request);
  if (!id) {
    return std::unexpected(id.error());
  }
  if (options_.quotas.devices != 0 && devices_.size() >= options_.quotas.devices) {
    return exhausted("TOO_MANY_DEVICES",
                     fmt::format("there are {} devices, as many as this daemon may have; delete "
                                 "one, or start the daemon with a higher --max-devices",
                                 devices_.size()));
  }
  v1::Device record;
  record.set_name(std::string(kDevicePrefix) + *id);
  record.set_uid(new_uid());
  *record.mutable_labels() = request.device().labels();
  *record.mutable_spec() = request.device().spec();
  record.mutable_status()->set_state(v1::DEVICE_STATE_CREATED);
  // Each a little later than the last one, whatever the host's clock does.
  const std::int64_t time = std::max(last_time_ + 1, TimeUtil::TimestampToNanoseconds(now()));
  *record.mutable_create_time() = TimeUtil::NanosecondsToTimestamp(time);
  record.set_etag(record.uid().substr(0, 16));
  return record;
}

ApiResult<std::string> DeviceTable::choose_id(const v1::CreateDeviceRequest& request) const {
  const std::string& id = request.device_id();
  if (id.empty()) {
    const std::string base = ProfileStore::id_of(request.device().spec().profile()).substr(0, 50);
    for (std::size_t number = 1;; ++number) {
      std::string candidate = fmt::format("{}-{}", base, number);
      if (!by_name_.contains(std::string(kDevicePrefix) + candidate)) {
        return candidate;
      }
    }
  }
  if (!is_device_id(id)) {
    return invalid_argument("device_id", id,
                            "1 to 63 characters of a-z, 0-9 and '-', the first a letter, the last "
                            "no '-'");
  }
  if (by_name_.contains(std::string(kDevicePrefix) + id)) {
    return std::unexpected(ApiError(grpc::ALREADY_EXISTS, "DEVICE_EXISTS",
                                    fmt::format("there is a device '{}' already", id))
                               .about("device_id", id, "a name that is free"));
  }
  return id;
}

ApiResult<void> DeviceTable::admit(const v1::Device& device, std::uint64_t memory) const {
  const std::uint64_t used = memory_in_use();
  if (options_.quotas.memory == 0 || used + memory <= options_.quotas.memory) {
    return {};
  }
  return exhausted(
      "TOO_MUCH_MEMORY",
      fmt::format("{} needs {} MiB; running devices have {} of the {} MiB that this daemon may "
                  "give; stop one, or start the daemon with a higher --max-memory",
                  device.name(), memory >> 20, used >> 20, options_.quotas.memory >> 20));
}

ApiResult<ManagedDevice*> DeviceTable::find(const std::string& name) const {
  if (const auto found = by_name_.find(name); found != by_name_.end()) {
    return found->second;
  }
  if (!name.starts_with(kDevicePrefix)) {
    return invalid_argument("name", name, "\"devices/ID\"");
  }
  return not_found("device", name.substr(kDevicePrefix.size()));
}

ApiResult<ManagedDevice*> DeviceTable::find_by_digits(const std::string& name) const {
  auto exact = find(name);
  if (exact || !name.starts_with(kDevicePrefix)) {
    return exact;
  }
  const std::string_view digits = std::string_view(name).substr(kDevicePrefix.size());
  ManagedDevice* match = nullptr;
  if (digits.size() >= kShortestUid && is_uid_part(digits)) {
    for (const auto& [place, device] : devices_) {
      if (!place.key.starts_with(digits)) {
        continue;
      }
      if (match != nullptr) {
        return invalid_argument("name", name, "more digits: several uids begin with these");
      }
      match = device.get();
    }
  }
  return match == nullptr ? exact : match;
}

ApiResult<v1::ListDevicesResponse> DeviceTable::list(const v1::ListDevicesRequest& request) const {
  const auto size = page_size(request.page_size());
  const auto start = parse_page_token(request.page_token(), request.filter());
  const auto filter = DeviceFilter::parse(request.filter());
  if (!size || !start || !filter) {
    return std::unexpected(!size ? size.error() : !start ? start.error() : filter.error());
  }
  v1::ListDevicesResponse response;
  std::size_t bytes = 0;
  for (auto at = devices_.upper_bound(*start); at != devices_.end(); ++at) {
    const v1::Device& record = at->second->record();
    if (!filter->matches(record)) {
      continue;
    }
    bytes += record.ByteSizeLong();
    if (response.devices_size() == static_cast<int>(*size) ||
        (bytes > kLargestPage && response.devices_size() > 0)) {
      const v1::Device& last = response.devices(response.devices_size() - 1);
      response.set_next_page_token(to_page_token(place_of(last), request.filter()));
      break;
    }
    *response.add_devices() = record;
  }
  return response;
}

ApiResult<v1::Device> DeviceTable::update(const v1::UpdateDeviceRequest& request) {
  bool labels = false;
  bool restart = false;
  for (const std::string& path : request.update_mask().paths()) {
    labels = labels || path == "labels";
    restart = restart || path == "spec.restart";
    if (path != "labels" && path != "spec.restart") {
      return invalid_argument("update_mask", path, "\"labels\" or \"spec.restart\"");
    }
  }
  if (!labels && !restart) {
    return invalid_argument("update_mask", "", "\"labels\", \"spec.restart\" or both");
  }
  const auto device = find(request.device().name());
  if (!device) {
    return std::unexpected(device.error());
  }
  auto checked = check_etag((*device)->record(), request.device().etag());
  if (checked && labels) {
    checked = check_labels(request.device().labels());
  }
  if (checked && restart) {
    checked = check_restart(request.device().spec().restart());
  }
  if (checked) {
    checked = (*device)->update(request.device(), labels, restart);
  }
  if (!checked) {
    return std::unexpected(checked.error());
  }
  return (*device)->record();
}

ApiResult<ManagedDevice*> DeviceTable::check_delete(const v1::DeleteDeviceRequest& request) const {
  const auto device = find(request.name());
  if (!device) {
    return device;
  }
  const v1::Device& record = (*device)->record();
  if (auto checked = check_etag(record, request.etag()); !checked) {
    return std::unexpected(checked.error());
  }
  if (removing_.contains(record.uid())) {
    return failed_precondition("WRONG_STATE", record.name() + " is being deleted already");
  }
  if (is_active(record.status().state()) && !request.force()) {
    return std::unexpected(ApiError(grpc::FAILED_PRECONDITION, "WRONG_STATE",
                                    fmt::format("cannot delete {}: it is {}; stop it first",
                                                record.name(), state_name(record.status().state())))
                               .about("device.status.state", state_name(record.status().state()),
                                      "CREATED, STOPPED or FAILED, or a request with `force`"));
  }
  return device;
}

void DeviceTable::remove(ManagedDevice& device, ManagedDevice::Done done) {
  const std::string uid = device.record().uid();
  removing_.insert(uid);
  device.remove([this, uid, done = std::move(done)](ApiResult<void> removed) {
    removing_.erase(uid);
    if (removed) {
      if (auto forgotten = store_.remove_device(uid); !forgotten) {
        removed = std::unexpected(
            ApiError(grpc::UNAVAILABLE, "STATE_NOT_STORED", forgotten.error().message()));
      }
    }
    if (!removed) {
      done(removed);
      return;
    }
    // Not from here: the device is calling.
    removing_.insert(uid);
    surroundings_.loop.post([this, uid, done] {
      removing_.erase(uid);
      forget(uid);
      done({});
    });
  });
}

void DeviceTable::forget(const std::string& uid) {
  const auto found = std::ranges::find(
      devices_, uid, [](const auto& entry) -> const std::string& { return entry.first.key; });
  if (found == devices_.end()) {
    return;
  }
  const v1::Device last = found->second->record();
  by_name_.erase(last.name());
  devices_.erase(found);
  spdlog::info("{} is deleted", last.name());
  listeners_.tell(v1::DeviceEvent::KIND_DELETED, last);
}

bool DeviceTable::uses_profile(const std::string& id) const {
  return std::ranges::any_of(devices_, [&](const auto& entry) {
    return ProfileStore::id_of(entry.second->record().spec().profile()) == id;
  });
}

std::uint64_t DeviceTable::memory_in_use() const {
  std::uint64_t sum = 0;
  for (const auto& [place, device] : devices_) {
    const v1::DeviceStatus& status = device->record().status();
    sum += is_active(status.state()) ? status.memory_bytes() : 0;
  }
  return sum;
}

const v1::Device* DeviceTable::next(const PageStart& place) const {
  const auto found = devices_.upper_bound(place);
  return found == devices_.end() ? nullptr : &found->second->record();
}

}  // namespace ensemble::control
