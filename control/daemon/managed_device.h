#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/control_groups.h"
#include "control/daemon/api_error.h"
#include "control/daemon/process_link.h"
#include "control/daemon/state_store.h"
#include "control/ensemble/v1/device.pb.h"
#include "control/installation.h"
#include "control/loop_timer.h"
#include "control/served_process.h"
#include "device-model/profile.h"
#include "vmm/event_loop.h"

namespace ensemble::control {

// What all devices of a daemon use. Outlives them.
struct DeviceSurroundings {
  vmm::EventLoop& loop;
  StateStore& store;
  const InstallationFiles& files;
  // Each device's folder is a directory in here, called by its uid.
  std::string folders;
  // The level of the processes' logs.
  std::string log_level;
  DeviceGroups groups;
  // The profile that a spec names.
  std::function<ApiResult<device::Profile>(const std::string& name)> profile;
  // Whether a device may start that needs so much memory, in bytes.
  std::function<ApiResult<void>(const v1::Device& device, std::uint64_t memory)> admit;
  // A device has changed.
  std::function<void(const v1::Device& device)> changed;
  // Calls try_again() of the device in a while.
  std::function<void(const std::string& uid)> try_later;
};

// One device and the process that runs it, if any: the state machine of v1::DeviceState. All of it
// happens on the event loop's thread. What it records is stored before it is done, so that a daemon
// that was killed can go on (recover()).
class ManagedDevice {
 public:
  // Called once, on the loop: at once where there is nothing to wait for.
  using Done = std::function<void(ApiResult<void> result)>;

  // For a record that the store has.
  ManagedDevice(DeviceSurroundings& surroundings, v1::Device record);
  ManagedDevice(const ManagedDevice&) = delete;
  ManagedDevice& operator=(const ManagedDevice&) = delete;
  // The device's process goes on.
  ~ManagedDevice();

  const v1::Device& record() const { return record_; }
  std::string folder() const { return surroundings_.folders + "/" + record_.uid(); }

  // Done when the machine runs.
  void start(Done done);
  // Done when the process has ended.
  void stop(Done done);
  void pause(Done done);
  void resume(Done done);
  void reset(Done done);
  // Stops it at once and removes its folder; done when nothing of it is left but the record. Not to
  // be called while another remove() is under way.
  void remove(Done done);
  // Labels and the restart policy of `changes` take the place of the record's, as far as named.
  ApiResult<void> update(const v1::Device& changes, bool labels, bool restart);

  // Finds the process that an earlier daemon has started, or what has become of it. Once, before
  // all else. A device that was being deleted is left to remove().
  void recover();
  // Once more what the host did not let happen.
  void try_again();

  // Another connection to the running process.
  ApiResult<vmm::FileDescriptor> connect_another() const;
  // Asks the running process something, without waiting for its answer.
  void tell(ensemble::vmm::v1::Request request);
  // What a hand does to the device; done when it has been done. INPUT_REFUSED: the device does not
  // have such a part.
  void send_input(ensemble::vmm::v1::SendInput input, Done done);
  // Figures of the running process, which may take so long to answer.
  void measure(std::function<void(ApiResult<ensemble::vmm::v1::Measurements> result)> done,
               std::chrono::milliseconds patience = ProcessLink::kPatience);

 private:
  ApiResult<void> require(std::initializer_list<v1::DeviceState> states, const char* verb) const;

  // Starts the device for the n-th time again, counted from 0: a start by a call.
  void begin(std::uint32_t restarts, Done done);
  ApiResult<ensemble::vmm::v1::Configuration> prepare(v1::Engine engine);
  ApiResult<void> launch(ensemble::vmm::v1::Configuration configuration);
  void ask_to_start(ensemble::vmm::v1::Configuration configuration);
  void ask_and_become(ensemble::vmm::v1::Request request, v1::DeviceState state, Done done);
  ApiResult<void> forget_restart();
  // With so much time for a guest that has a power button to power off by itself.
  void stop_process(std::chrono::milliseconds patience);

  // What the process does: managed_device_process.cc.
  Result<void> connect();
  void watch_process();
  void find_process();
  void hold_process(pid_t id);
  void lost(const Error& error);
  void not_answered(const Error& error);
  void adopt(const ensemble::vmm::v1::Status& status);
  void handle_event(const ensemble::vmm::v1::Event& event);
  void link_closed();
  void process_ended();
  void record_end(const std::optional<ensemble::vmm::v1::Stopped>& stopped,
                  std::optional<int> wait_status);
  bool wants_restart(v1::DeviceState state) const;
  void restart_later(std::chrono::milliseconds delay);
  void restart();
  void hold_to_limits();
  void kill_process();
  void remove_folder(const Done& done);

  // Sets the state, stores the record and tells that it has changed.
  ApiResult<void> become(v1::DeviceState state, std::string reason = {});
  ApiResult<void> store();
  void finish(std::vector<Done>& waiting, const ApiResult<void>& result);

  DeviceSurroundings& surroundings_;
  v1::Device record_;
  StartedProcess process_;
  vmm::FdWatch process_watch_;  // Destroyed before the process's handle.
  std::unique_ptr<ProcessLink> link_;
  std::unique_ptr<LoopTimer> kill_timer_;
  std::unique_ptr<LoopTimer> restart_timer_;
  std::vector<Done> start_waiting_;
  std::vector<Done> end_waiting_;
  bool stop_requested_ = false;
  // What an earlier daemon's process does is not known yet.
  bool is_searching_ = false;
  // The store has the record as it is here.
  bool is_stored_ = true;
};

}  // namespace ensemble::control
