#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "device-model/virtio/input_description.h"
#include "vmm/error.h"
#include "vmm/state.h"

namespace ensemble::device {

// How the keys, switches, axes and contacts of an input device are, so that a driver that has
// missed events can be told all of it.
class InputState {
 public:
  // `description` has been checked, and outlives this.
  explicit InputState(const InputDescription& description) : description_(description) {}

  // `event` has passed the description's check.
  void apply(const InputEvent& event);

  // Nothing is pressed, switched on, touched, or anywhere but where it is at power-on.
  bool at_rest() const;
  bool pressed(std::uint16_t key) const { return keys_.contains(key); }
  // Whether a contact is in `slot`.
  bool touched(std::int32_t slot) const;

  // The events that lead to this state from any other, without SYN_REPORT.
  std::vector<InputEvent> events() const;
  // How many these are at most.
  std::size_t most_events() const;

  void save(vmm::StateWriter& writer) const;
  // What is not of the description is an Error. The state is unchanged then.
  Result<void> restore(vmm::StateReader& reader);

 private:
  // A value of an axis, by slot (-1: the axis has none) and code.
  using AxisKey = std::pair<std::int32_t, std::uint16_t>;

  void append_contacts(std::vector<InputEvent>& events) const;

  const InputDescription& description_;
  std::set<std::uint16_t> keys_;      // Pressed.
  std::set<std::uint16_t> switches_;  // On.
  std::map<AxisKey, std::int32_t> axes_;
  std::int32_t slot_ = 0;  // That events of contacts are about.
};

}  // namespace ensemble::device
