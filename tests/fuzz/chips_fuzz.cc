// A hostile guest at the registers of the I²C and GPIO controllers, with every chip of the
// catalogue behind them: nothing may crash or hang, and what is saved can be
// restored; damaged state is refused or leads to chips that work on.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>

#include "device-model/chip_board.h"
#include "device-model/machine_layout.h"
#include "device-model/world/constant_world.h"

namespace {

using namespace ensemble;
using namespace ensemble::device;

class SilentLine final : public vmm::LevelInterruptLine {
 public:
  void set_level(bool) override {}
};

std::vector<PlacedChip> all_chips() {
  std::vector<PlacedChip> chips;
  std::uint32_t pin = kFirstChipPin;
  for (const ChipModel* const model : chip_catalogue()) {
    for (const std::uint8_t address : model->addresses) {
      const bool taken = std::ranges::any_of(
          chips, [&](const PlacedChip& chip) { return chip.address == address; });
      if (!taken) {
        chips.push_back({.name = std::string(model->name),
                         .model = model,
                         .address = address,
                         .interrupt_pin = pin++});
        break;
      }
    }
  }
  return chips;
}

void access(vmm::Bus& registers, std::uint64_t address, std::uint32_t value, bool is_write) {
  if (is_write) {
    registers.write(address, std::as_bytes(std::span(&value, 1)));
  } else {
    registers.read(address, std::as_writable_bytes(std::span(&value, 1)));
  }
}

// One transfer as drivers make it: a register's address, then `bytes` to write, or some to read.
void transfer(vmm::Bus& registers, std::uint8_t target, std::span<const std::uint8_t> bytes,
              std::uint8_t reads) {
  access(registers, kI2cAddress + 0x6C, 0, true);
  access(registers, kI2cAddress + 0x04, target, true);
  access(registers, kI2cAddress + 0x6C, 1, true);
  access(registers, kI2cAddress + 0x40, 0, false);
  for (const std::uint8_t byte : bytes) {
    access(registers, kI2cAddress + 0x10, byte, true);
  }
  for (unsigned i = 0; i < reads; ++i) {
    access(registers, kI2cAddress + 0x10, 0x100, true);
    access(registers, kI2cAddress + 0x10, 0, false);
  }
  access(registers, kI2cAddress + 0x6C, 0, true);
}

// Gives a component its own state with one byte changed: it takes that, or says why not.
void restore_damaged(const ChipBoard& board, std::uint8_t which, std::uint16_t change) {
  const auto components = board.stateful_components();
  vmm::Stateful& component = *components[which % components.size()];
  vmm::StateWriter writer;
  if (!component.save(writer)) {
    __builtin_trap();
  }
  std::vector<std::byte> state = writer.data();
  // Mostly the fields behind the registers, which are all alike.
  const std::size_t place = (change >> 8) * 8U + which / 32U;
  state[state.size() - 1 - place % state.size()] = static_cast<std::byte>(change);
  vmm::StateReader reader(state);
  if (const auto restored = component.restore(reader, component.state_version());
      !restored && restored.error().message().empty()) {
    __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto loop = vmm::EventLoop::create();
  vmm::Bus registers("mmio", (*loop)->device_lock());
  ChipBoard board(
      {.registers = registers,
       .loop = **loop,
       .make_interrupt = [](std::uint32_t) -> Result<std::unique_ptr<vmm::LevelInterruptLine>> {
         return std::make_unique<SilentLine>();
       }},
      std::make_unique<ConstantWorld>());
  const PlacedBus bus{
      .name = "i2c0", .address = kI2cAddress, .gsi = kI2cGsis[0], .chips = all_chips()};
  if (!board.add_gpio({.address = kGpioAddress, .gsi = kGpioGsi}) || !board.add_i2c(bus, {})) {
    __builtin_trap();
  }
  std::span<const std::uint8_t> input(data, size);
  while (input.size() >= 4) {
    const std::uint8_t kind = input[0];
    const std::uint8_t first = input[1];
    const auto word = static_cast<std::uint16_t>(input[2] | input[3] << 8);
    input = input.subspan(4);
    const bool is_write = (kind & 4) != 0;
    if (kind == 0xFF) {
      restore_damaged(board, first, word);
    } else if (kind % 4 == 0) {
      access(registers, kI2cAddress + first, word, is_write);
    } else if (kind % 4 == 1) {
      access(registers, kGpioAddress + (word & 0x3FC), std::uint32_t{first} << (kind >> 3),
             is_write);
    } else {
      const std::size_t count = std::min<std::size_t>(input.size(), kind >> 3);
      const std::uint8_t target = bus.chips[first % bus.chips.size()].address;
      transfer(registers, target, input.first(count), static_cast<std::uint8_t>(word % 40));
      input = input.subspan(count);
    }
  }
  const auto state = vmm::save_state(board.stateful_components());
  if (!state || !vmm::restore_state(*state, board.stateful_components())) {
    __builtin_trap();
  }
  return 0;
}
