#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "guest-kernel/lib/input_protocol.h"
#include "guest-kernel/lib/start_info.h"
#include "guest-kernel/linux/server/directory.h"
#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/result.h"

namespace linux_server {

class InputFile;

// An input device as Linux's input layer has it: what it is, how its keys and axes are, and which
// files are open on it. Events that change nothing are told to nobody.
class InputDevice {
 public:
  static constexpr std::size_t kMost = 8;
  // Of ABS_MT_TOUCH_MAJOR and those after it, of which each contact has its own.
  static constexpr std::uint16_t kFirstContactAxis = 0x30;
  static constexpr std::uint16_t kLastContactAxis = 0x3d;

  // Begins to use the memory that is shared with the driver: `input`, of Role::kInput. The driver
  // has described the device there.
  InputDevice(const guest::Resource& input, std::size_t number);
  InputDevice(const InputDevice&) = delete;
  InputDevice& operator=(const InputDevice&) = delete;
  ~InputDevice();

  // False: there is no memory for the contacts.
  bool is_complete() const { return slot_count_ == 0 || slots_ != nullptr; }

  std::size_t number() const { return number_; }
  const guest::InputDescription& description() const { return description_; }
  bool has(std::uint32_t type, std::uint32_t code) const;
  bool has_type(std::uint32_t type) const;

  // A bit for each key that is pressed, or switch that is on.
  using CodeBits = std::array<std::uint8_t, guest::kInputCodeBytes>;
  const CodeBits& keys() const { return keys_; }
  const CodeBits& switches() const { return switches_; }
  std::int32_t axis_value(std::uint16_t axis) const { return axes_[axis % guest::kInputAxes]; }
  // 0: it does not tell contacts apart.
  std::size_t slot_count() const { return slot_count_; }
  std::int32_t slot_value(std::size_t slot, std::uint16_t axis) const;

  // What the driver has for the files, and what a program writes.
  void take_events();
  void handle(std::uint64_t now, std::uint16_t type, std::uint16_t code, std::int32_t value);

  void add(InputFile& file);
  void remove(InputFile& file);
  // The file that alone gets the events; null: all do.
  InputFile* grabber = nullptr;

 private:
  void lift_contacts();
  bool changes(std::uint16_t type, std::uint16_t code, std::int32_t value);
  bool changes_axis(std::uint16_t code, std::int32_t value);
  void tell(std::uint16_t type, std::uint16_t code, std::int32_t value);

  guest::InputDescription description_;
  guest::InputShared* shared_;
  guest::Slot driver_;
  guest::ByteRingConsumer events_;
  std::size_t number_;
  CodeBits keys_{};
  CodeBits switches_{};
  std::array<std::int32_t, guest::kInputAxes> axes_{};
  std::size_t slot_count_ = 0;
  std::int32_t* slots_ = nullptr;  // a value for each axis of contacts, for each slot
  std::size_t slot_ = 0;           // that the events are about
  std::uint64_t now_ = 0;          // of the event that is being told
  bool within_report_ = false;     // something was told since the last report
  InputFile* first_ = nullptr;
};

// /dev/input, where the machine has input devices. False: no memory.
bool add_input_files(Directory& devices);
bool is_input_device(std::uint32_t number);
// ENODEV: its driver does not answer. ENOMEM.
Result<Reference<File>> open_input_file(Node& node, std::uint32_t flags, std::uint32_t number);
// kInputSignal came.
void take_input_events();

}  // namespace linux_server
