#include "device-model/virtio/input_device.h"

#include <linux/input-event-codes.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace ensemble::device {
namespace {

constexpr std::uint32_t kInputDeviceId = 18;
constexpr std::uint16_t kQueueSize = 64;

// What `select` of the configuration space may ask for (virtio 1.2, section 5.8.2).
enum Select : std::uint8_t {
  kIdName = 0x01,
  kIdSerial = 0x02,
  kIdDevids = 0x03,
  kPropBits = 0x10,
  kEvBits = 0x11,
  kAbsInfo = 0x12,
};

constexpr std::size_t kSelectOffset = 0;
constexpr std::size_t kSubselectOffset = 1;
constexpr std::size_t kSizeOffset = 2;
constexpr std::size_t kAnswerOffset = 8;
constexpr std::size_t kConfigurationSize = kAnswerOffset + 128;

// struct virtio_input_event: little endian, as this host.
constexpr std::size_t kEventSize = 8;
static_assert(sizeof(InputEvent) == kEventSize);

constexpr InputEvent kReportEnd{EV_SYN, SYN_REPORT, 0};

using Answer = std::vector<std::byte>;

template <typename T>
void append(Answer& answer, T value) {
  for (std::size_t i = 0; i < sizeof value; ++i) {
    answer.push_back(static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i)));
  }
}

Answer text_answer(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

void set_bit(Answer& bits, std::uint16_t code) {
  if (bits.size() <= code / 8U) {
    bits.resize(code / 8U + 1);
  }
  bits[code / 8U] |= std::byte{1} << (code % 8);
}

Answer event_bits(const InputDescription& description, std::uint8_t type) {
  Answer bits;
  switch (type) {
    case EV_KEY:
      std::ranges::for_each(description.keys, [&](const auto& key) { set_bit(bits, key.code); });
      break;
    case EV_SW:
      std::ranges::for_each(description.switches,
                            [&](const auto& each) { set_bit(bits, each.code); });
      break;
    case EV_REL:
      std::ranges::for_each(description.relative_axes,
                            [&](std::uint16_t code) { set_bit(bits, code); });
      break;
    case EV_ABS:
      std::ranges::for_each(description.absolute_axes,
                            [&](const auto& axis) { set_bit(bits, axis.code); });
      break;
    default:
      break;
  }
  return bits;
}

Answer answer_to(const InputDescription& description, std::uint8_t select, std::uint8_t subselect) {
  Answer answer;
  if (select != kEvBits && select != kAbsInfo && subselect != 0) {
    return answer;
  }
  switch (select) {
    case kIdName:
      return text_answer(description.name);
    case kIdSerial:
      return text_answer(description.serial);
    case kIdDevids:
      for (const std::uint16_t part :
           {description.bus, description.vendor, description.product, description.version}) {
        append(answer, part);
      }
      return answer;
    case kPropBits:
      std::ranges::for_each(description.properties,
                            [&](std::uint16_t property) { set_bit(answer, property); });
      return answer;
    case kEvBits:
      return event_bits(description, subselect);
    case kAbsInfo:
      if (const InputAxis* const axis = description.axis(subselect)) {
        for (const std::int32_t part :
             {axis->minimum, axis->maximum, axis->fuzz, axis->flat, axis->resolution}) {
          append(answer, part);
        }
      }
      return answer;
    default:
      return answer;
  }
}

}  // namespace

Result<std::unique_ptr<InputDevice>> InputDevice::create(InputDescription description) {
  if (auto checked = description.check(); !checked) {
    return std::unexpected(checked.error());
  }
  return std::unique_ptr<InputDevice>(new InputDevice(std::move(description)));
}

InputDevice::InputDevice(InputDescription description)
    : VirtioDevice({.kind = "input",
                    .device_id = kInputDeviceId,
                    .features = 0,
                    .queue_sizes = {kQueueSize, kQueueSize}}),
      description_(std::move(description)),
      state_(description_) {}

Result<void> InputDevice::report(std::span<const InputEvent> events) {
  if (events.size() > kMostEventsPerReport) {
    return fail("{} events at once are too many; at most {} can happen at once", events.size(),
                kMostEventsPerReport);
  }
  for (const InputEvent& event : events) {
    if (auto checked = description_.check(event); !checked) {
      return checked;
    }
  }
  std::ranges::for_each(events, [this](const InputEvent& event) { state_.apply(event); });
  if (events.empty() || !transport().running()) {
    return {};
  }
  // While the driver misses events the state says all that matters.
  if (!lost_events_) {
    if (waiting_.size() + events.size() + 1 > kMostWaitingEvents) {
      drop_waiting();
    } else {
      waiting_.insert(waiting_.end(), events.begin(), events.end());
      waiting_.push_back(kReportEnd);
    }
  }
  deliver();
  return {};
}

// The rest of a report that the driver has a part of is kept.
void InputDevice::drop_waiting() {
  auto first = waiting_.begin();
  if (within_report_) {
    first = std::ranges::find(waiting_, kReportEnd);
    first += first == waiting_.end() ? 0 : 1;
  }
  waiting_.erase(first, waiting_.end());
  lost_events_ = true;
}

void InputDevice::append_state() {
  const std::vector<InputEvent> events = state_.events();
  waiting_.push_back({EV_SYN, SYN_DROPPED, 0});
  waiting_.insert(waiting_.end(), events.begin(), events.end());
  waiting_.push_back(kReportEnd);
  lost_events_ = false;
}

void InputDevice::deliver() {
  if (transport().running()) {
    process_queue(kEventQueue,
                  [this](vmm::DescriptorChain chain) { return send_next(std::move(chain)); });
  }
}

// Fills one buffer. False: nothing is left to be told, and the buffer stays the driver's.
bool InputDevice::send_next(vmm::DescriptorChain chain) {
  if (waiting_.empty() && lost_events_) {
    append_state();
  }
  if (waiting_.empty()) {
    queue(kEventQueue).put_back(std::move(chain));
    return false;
  }
  if (chain.writable_size() < kEventSize) {
    transport().mark_broken(Error(fmt::format("a buffer for events has {} writable bytes, not {}",
                                              chain.writable_size(), kEventSize)));
    return false;
  }
  const InputEvent event = waiting_.front();
  waiting_.pop_front();
  within_report_ = event != kReportEnd;
  chain.write(0, std::as_bytes(std::span(&event, 1)));
  queue(kEventQueue).push(std::move(chain), kEventSize);
  return true;
}

// What the driver sends: lights, of which there are none.
void InputDevice::take_status() {
  process_queue(kStatusQueue, [this](vmm::DescriptorChain chain) {
    queue(kStatusQueue).push(std::move(chain), 0);
    return true;
  });
}

std::vector<std::byte> InputDevice::configuration() const {
  Answer answer = answer_to(description_, select_, subselect_);
  std::vector<std::byte> configuration(kConfigurationSize);
  configuration[kSelectOffset] = std::byte{select_};
  configuration[kSubselectOffset] = std::byte{subselect_};
  configuration[kSizeOffset] = static_cast<std::byte>(answer.size());
  std::ranges::copy(answer, configuration.begin() + kAnswerOffset);
  return configuration;
}

void InputDevice::write_configuration(std::uint64_t offset, std::span<const std::byte> data) {
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (offset + i == kSelectOffset) {
      select_ = std::to_integer<std::uint8_t>(data[i]);
    } else if (offset + i == kSubselectOffset) {
      subselect_ = std::to_integer<std::uint8_t>(data[i]);
    }
  }
}

void InputDevice::activated() {
  if (!known_) {
    known_ = true;
    lost_events_ = !state_.at_rest();
  }
  deliver();
}

void InputDevice::queue_notified(std::uint16_t queue) {
  if (queue == kEventQueue) {
    deliver();
  } else {
    take_status();
  }
}

// What is pressed stays pressed.
void InputDevice::reset() {
  waiting_.clear();
  within_report_ = false;
  lost_events_ = false;
  known_ = false;
  select_ = 0;
  subselect_ = 0;
}

void InputDevice::save(vmm::StateWriter& writer) const {
  state_.save(writer);
  writer.u32(static_cast<std::uint32_t>(waiting_.size()));
  for (const InputEvent& event : waiting_) {
    writer.u16(event.type);
    writer.u16(event.code);
    writer.u32(static_cast<std::uint32_t>(event.value));
  }
  writer.boolean(within_report_);
  writer.boolean(lost_events_);
  writer.boolean(known_);
  writer.u8(select_);
  writer.u8(subselect_);
}

Result<void> InputDevice::restore(vmm::StateReader& reader) {
  if (auto restored = state_.restore(reader); !restored) {
    return restored;
  }
  // Reports that wait, and at most one state behind the rest of one of them.
  const std::size_t limit = kMostWaitingEvents + state_.most_events() + 2;
  const std::uint32_t count = reader.u32();
  if (count > limit) {
    return fail("{} events wait in the saved state, but at most {} can", count, limit);
  }
  std::deque<InputEvent> waiting;
  for (std::uint32_t i = 0; i < count && reader.status(); ++i) {
    InputEvent& event = waiting.emplace_back();
    event.type = reader.u16();
    event.code = reader.u16();
    event.value = static_cast<std::int32_t>(reader.u32());
    if (event.type == EV_SYN) {
      if ((event.code != SYN_REPORT && event.code != SYN_DROPPED) || event.value != 0) {
        return fail("an event of synchronisation was saved with code {} and value {}", event.code,
                    event.value);
      }
    } else if (auto checked = description_.check(event); !checked) {
      return checked;
    }
  }
  const bool within_report = reader.boolean();
  const bool lost_events = reader.boolean();
  const bool known = reader.boolean();
  const std::uint8_t select = reader.u8();
  const std::uint8_t subselect = reader.u8();
  if (Result<void> status = reader.status(); !status) {
    return status;
  }
  waiting_ = std::move(waiting);
  within_report_ = within_report;
  lost_events_ = lost_events;
  known_ = known;
  select_ = select;
  subselect_ = subselect;
  return {};
}

}  // namespace ensemble::device
