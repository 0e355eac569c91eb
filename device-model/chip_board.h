#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device-model/chips/chip_device.h"
#include "device-model/gpio/amd_gpio.h"
#include "device-model/i2c/designware_i2c.h"
#include "device-model/placed_chips.h"
#include "device-model/world/world.h"
#include "vmm/bus.h"
#include "vmm/event_loop.h"
#include "vmm/interrupt_line.h"
#include "vmm/machine.h"
#include "vmm/state.h"

namespace ensemble::device {

// The chips of one machine, with the buses and interrupt pins that they are connected to, and the
// clock that tells them the time. Owns all of it. Destroy it after its machine has stopped, and
// before the machine's event loop. A timer of the host exists only for chips that have asked to be
// woken.
class ChipBoard {
 public:
  // What the board needs of a machine. All of it outlives the board.
  struct Host {
    vmm::Bus& registers;
    vmm::EventLoop& loop;
    std::function<Result<std::unique_ptr<vmm::LevelInterruptLine>>(std::uint32_t gsi)>
        make_interrupt;
  };

  ChipBoard(Host host, std::unique_ptr<const World> world);
  ChipBoard(vmm::Machine& machine, std::unique_ptr<const World> world);
  ~ChipBoard();

  // Connects the GPIO controller, before the buses of the chips that have interrupt pins.
  Result<void> add_gpio(const PlacedGpio& node);

  // Connects a bus with its chips; `product` is for all of them (its tag is not used). An Error
  // names the chip that cannot be had. All before the machine starts.
  Result<void> add_i2c(const PlacedBus& node, const ChipSettings& product);

  // For saved state.
  std::vector<vmm::Stateful*> stateful_components() const;

 private:
  class Clock;
  class Place;

  Result<void> add_chip(const PlacedBus& bus, I2cAddresses& addresses, const PlacedChip& node,
                        ChipSettings settings);

  Host host_;
  const std::unique_ptr<const World> world_;
  const std::unique_ptr<Clock> clock_;
  std::unique_ptr<AmdGpio> gpio_;  // Null: none.
  std::vector<std::unique_ptr<DesignwareI2c>> buses_;
  std::vector<std::unique_ptr<Place>> places_;
};

}  // namespace ensemble::device
