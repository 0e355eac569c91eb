#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "control/daemon/api_error.h"
#include "control/daemon/listeners.h"
#include "control/daemon/managed_device.h"
#include "control/daemon/page.h"
#include "control/daemon/profile_store.h"
#include "control/ensemble/v1/devices.pb.h"
#include "control/loop_timer.h"

namespace ensemble::control {

// How much a daemon's devices may be and have together; 0: as much as there is.
struct Quotas {
  std::uint32_t devices = 0;
  // RAM of those that run, in bytes.
  std::uint64_t memory = 0;
};

// Whether the directory has folders of devices.
bool has_devices(const std::string& folders);

// All devices: their names, what they may use together, and who watches them. Belongs to the event
// loop's thread.
class DeviceTable {
 public:
  struct Options {
    // An existing directory, in which each device has a folder.
    std::string folders;
    std::string log_level;
    Quotas quotas;
    DeviceGroups groups;
  };
  // Told after each change. `kind` is ADDED, CHANGED or DELETED.
  using Handler = std::function<void(v1::DeviceEvent::Kind kind, const v1::Device& device)>;

  // All outlive the table.
  DeviceTable(vmm::EventLoop& loop, StateStore& store, ProfileStore& profiles,
              const InstallationFiles& files, Options options);

  // Reads the devices of an earlier daemon and finds what has become of them. Goes on with what it
  // was deleting, and removes folders that no device has.
  Result<void> load();

  ApiResult<v1::Device> create(const v1::CreateDeviceRequest& request);
  // By "devices/ID". Valid until the loop goes on.
  ApiResult<ManagedDevice*> find(const std::string& name) const;
  // The same, or "devices/" and at least 4 digits that only one uid begins with.
  ApiResult<ManagedDevice*> find_by_digits(const std::string& name) const;
  ApiResult<v1::ListDevicesResponse> list(const v1::ListDevicesRequest& request) const;
  ApiResult<v1::Device> update(const v1::UpdateDeviceRequest& request);
  // Whether a device may be deleted as asked; then remove() does it.
  ApiResult<ManagedDevice*> check_delete(const v1::DeleteDeviceRequest& request) const;
  void remove(ManagedDevice& device, ManagedDevice::Done done);

  bool uses_profile(const std::string& id) const;
  std::uint64_t memory_in_use() const;
  std::size_t size() const { return devices_.size(); }
  const Quotas& quotas() const { return options_.quotas; }
  // Where a device is in the order of their creation, and the device behind such a place; null:
  // there is none. Valid until the loop goes on.
  static PageStart place_of(const v1::Device& device);
  const v1::Device* next(const PageStart& place) const;

  std::uint64_t watch(Handler handler) { return listeners_.add(std::move(handler)); }
  void unwatch(std::uint64_t id) { listeners_.remove(id); }

 private:
  DeviceSurroundings make_surroundings(vmm::EventLoop& loop, StateStore& store,
                                       ProfileStore& profiles, const InstallationFiles& files);
  ApiResult<v1::Device> make_record(const v1::CreateDeviceRequest& request);
  ApiResult<std::string> choose_id(const v1::CreateDeviceRequest& request) const;
  ApiResult<void> admit(const v1::Device& device, std::uint64_t memory) const;
  ManagedDevice& insert(v1::Device record);
  void adopt_orphans();
  void forget(const std::string& uid);
  void try_again();

  StateStore& store_;
  ProfileStore& profiles_;
  const Options options_;
  DeviceSurroundings surroundings_;
  std::int64_t last_time_ = 0;
  std::map<PageStart, std::unique_ptr<ManagedDevice>> devices_;
  std::map<std::string, ManagedDevice*> by_name_;
  std::set<std::string> removing_;  // Uids.
  std::set<std::string> retrying_;  // Uids.
  std::unique_ptr<LoopTimer> retry_timer_;
  Listeners<v1::DeviceEvent::Kind, const v1::Device&> listeners_;
};

}  // namespace ensemble::control
