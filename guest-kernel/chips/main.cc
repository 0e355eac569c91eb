// The driver of one chip on an I²C bus; which one, its resources say. It looks for the chip when
// something is first asked, and the chip is asleep but while it is being read.

#include <asm/errno.h>

#include <algorithm>
#include <atomic>

#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/chips/number.h"
#include "guest-kernel/chips/registers.h"
#include "guest-kernel/drivers/driver.h"
#include "guest-kernel/lib/chip_protocol.h"
#include "guest-kernel/lib/program.h"

namespace {

#define GUEST_CHIP_ROW(name) &chips::name##_driver,
constexpr const chips::ChipDriver* kDrivers[] = {GUEST_CHIPS(GUEST_CHIP_ROW)};
#undef GUEST_CHIP_ROW

class Chip {
 public:
  Chip(driver::Driver& driver, const chips::ChipModel& model, const chips::ChipDriver& functions,
       chips::Registers registers, guest::ChipShared& shared)
      : driver_(&driver),
        model_(&model),
        functions_(&functions),
        registers_(registers),
        shared_(&shared) {}

  // Answers what is asked.
  void work() {
    const std::uint32_t asked = shared_->asked.load(std::memory_order_acquire);
    if (asked == shared_->answered.load(std::memory_order_relaxed)) {
      return;
    }
    guest::TextWriter text(shared_->text);
    const std::size_t size = std::min<std::size_t>(shared_->input_size, shared_->input.size());
    // The client may write while this reads: what is looked at is a copy.
    const auto input = shared_->input;
    shared_->error =
        size == 0 ? answer(shared_->channel, text) : set(shared_->channel, {input.data(), size});
    shared_->size = static_cast<std::uint32_t>(text.size());
    shared_->answered.store(asked, std::memory_order_release);
    driver_->signal_client();
  }

 private:
  int find() {
    if (!is_there_) {
      if (const int error = functions_->probe(registers_)) {
        return error;
      }
      is_there_ = true;
    }
    return 0;
  }

  int set(std::uint32_t channel, std::string_view text) {
    const auto value = chips::read_billionths(text);
    if (functions_->write == nullptr || !value) {
      return EINVAL;
    }
    const int error = find();
    return error != 0 ? error : functions_->write(registers_, channel, *value);
  }

  int answer(std::uint32_t channel, guest::TextWriter& text) {
    if (const int error = find()) {
      return error;
    }
    if (channel >= chips::kUeventChannel) {
      const std::size_t index = channel - chips::kUeventChannel;
      return index < model_->devices.size() ? describe(model_->devices[index], text) : EINVAL;
    }
    const int error = functions_->read(registers_, channel, text);
    text.put('\n');
    return error;
  }

  // Those that cannot be read now are left out.
  int describe(const chips::ChipDevice& device, guest::TextWriter& text) {
    text.text("POWER_SUPPLY_NAME=").text(device.name).put('\n');
    for (const chips::Attribute& attribute : device.attributes) {
      if (attribute.channel >= chips::kUeventChannel) {
        continue;
      }
      std::array<char, 64> buffer;
      guest::TextWriter value(buffer);
      if (attribute.text.empty() && functions_->read(registers_, attribute.channel, value) != 0) {
        continue;
      }
      text.text("POWER_SUPPLY_");
      for (const char c : attribute.name) {
        text.put(c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
      }
      text.put('=').text(attribute.text.empty() ? value.view() : attribute.text).put('\n');
    }
    return 0;
  }

  driver::Driver* driver_;
  const chips::ChipModel* model_;
  const chips::ChipDriver* functions_;
  chips::Registers registers_;
  guest::ChipShared* shared_;
  bool is_there_ = false;
};

}  // namespace

void program_main(guest::StartInfo& info) {
  driver::Driver driver(info);
  const guest::Resource& bus = driver.need(guest::Role::kBus, "it was given no bus");
  const guest::Resource& which = driver.need(guest::Role::kChip, "it was told of no chip");
  const guest::Resource& shared =
      driver.need(guest::Role::kSharedMemory, "it was given no memory to share with its client");
  const std::size_t kind = guest::chip_kind(which.value);
  if (kind >= std::size(kDrivers) || shared.size < guest::kChipSharedSize) {
    driver.fail("there is no such chip, or too little memory to share");
  }
  Chip chip(driver, *chips::catalogue()[kind], *kDrivers[kind],
            {bus.slot, static_cast<std::uint8_t>(bus.value), info.first_free_slot},
            *reinterpret_cast<guest::ChipShared*>(shared.address));
  driver.running();
  driver.serve_signals([&chip](std::uint64_t /*signals*/) { chip.work(); });
}
