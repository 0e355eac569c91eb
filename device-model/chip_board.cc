#include "device-model/chip_board.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

#include "device-model/machine_layout.h"
#include "vmm/timer.h"

namespace ensemble::device {

// Time since the machine was made. Goes on where it was when a saved machine is restored.
class ChipBoard::Clock final : public vmm::Stateful {
 public:
  std::uint64_t now() const { return before_ + elapsed(); }

  std::string state_tag() const override { return "chip-clock"; }
  std::uint32_t state_version() const override { return 1; }
  Result<void> save(vmm::StateWriter& writer) const override {
    writer.u64(now());
    return {};
  }
  Result<void> restore(vmm::StateReader& reader, std::uint32_t) override {
    const std::uint64_t time = reader.u64();
    constexpr std::uint64_t kLongest = 1ULL << 61;  // 73 years: no sum of times overflows.
    auto finished = reader.finish();
    if (finished && time > kLongest) {
      return fail("the machine is said to have run for {} ns, longer than {} ns", time, kLongest);
    }
    if (finished) {
      before_ = time;
      start_ = std::chrono::steady_clock::now();
    }
    return finished;
  }

 private:
  std::uint64_t elapsed() const {
    const std::chrono::nanoseconds time = std::chrono::steady_clock::now() - start_;
    return static_cast<std::uint64_t>(time.count());
  }

  std::uint64_t before_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Where a chip sits: its share of the clock, the world, a pin and a timer.
class ChipBoard::Place final : public ChipHost {
 public:
  Place(const ChipBoard& board, std::optional<std::uint32_t> pin) : board_(board), pin_(pin) {}

  void make(const ChipModel& model, ChipSettings settings) {
    chip_ = model.make(*this, std::move(settings));
    chip_->wake();  // Its output has the level of an idle chip.
  }
  ChipDevice& chip() const { return *chip_; }

  std::uint64_t now() const override { return board_.clock_->now(); }
  double measure(Quantity quantity, std::uint64_t time) const override {
    return board_.world_->measure(quantity, time);
  }
  void drive_interrupt(bool high) override {
    if (pin_) {
      board_.gpio_->drive(*pin_, high);
    }
  }
  void wake_at(std::optional<std::uint64_t> time) override;

 private:
  const ChipBoard& board_;
  const std::optional<std::uint32_t> pin_;
  std::unique_ptr<ChipDevice> chip_;
  std::optional<std::uint64_t> wake_time_;
  std::unique_ptr<vmm::Timer> timer_;  // Null until it is first needed.
};

void ChipBoard::Place::wake_at(std::optional<std::uint64_t> time) {
  if (time == wake_time_ || !pin_) {
    return;  // Nobody sees the output of a chip without a pin.
  }
  wake_time_ = time;
  if (!timer_ && time) {
    auto timer = vmm::Timer::create(board_.host_.loop, [this] {
      wake_time_.reset();
      chip_->wake();
    });
    if (!timer) {
      spdlog::error("a chip's interrupts will not come: {}", timer.error().message());
      return;
    }
    timer_ = std::move(*timer);
  }
  if (!timer_) {
    return;
  }
  if (!time) {
    timer_->disarm();
    return;
  }
  const std::uint64_t current = now();
  timer_->arm(std::chrono::nanoseconds(*time > current ? *time - current : 0));
}

ChipBoard::ChipBoard(Host host, std::unique_ptr<const World> world)
    : host_(std::move(host)), world_(std::move(world)), clock_(std::make_unique<Clock>()) {}

ChipBoard::ChipBoard(vmm::Machine& machine, std::unique_ptr<const World> world)
    : ChipBoard(Host{.registers = machine.mmio_bus(),
                     .loop = machine.event_loop(),
                     .make_interrupt =
                         [&machine](std::uint32_t gsi) {
                           return machine.make_level_interrupt_line(gsi);
                         }},
                std::move(world)) {}

ChipBoard::~ChipBoard() = default;

Result<void> ChipBoard::add_gpio(const PlacedGpio& node) {
  if (gpio_) {
    return fail("a machine has one GPIO controller");
  }
  auto line = host_.make_interrupt(node.gsi);
  if (!line) {
    return std::unexpected(line.error());
  }
  gpio_ = std::make_unique<AmdGpio>(*std::move(line));
  return host_.registers.insert(node.address, AmdGpio::kSize, *gpio_);
}

Result<void> ChipBoard::add_i2c(const PlacedBus& node, const ChipSettings& product) {
  auto line = host_.make_interrupt(node.gsi);
  if (!line) {
    return std::unexpected(line.error());
  }
  auto bus = std::make_unique<DesignwareI2c>(node.name, *std::move(line));
  for (const PlacedChip& chip : node.chips) {
    if (auto added = add_chip(node, bus->bus(), chip, product); !added) {
      return added;
    }
  }
  buses_.push_back(std::move(bus));
  return host_.registers.insert(node.address, DesignwareI2c::kSize, *buses_.back());
}

Result<void> ChipBoard::add_chip(const PlacedBus& bus, I2cAddresses& addresses,
                                 const PlacedChip& node, ChipSettings settings) {
  if (node.interrupt_pin && (!gpio_ || *node.interrupt_pin >= AmdGpio::kPinCount ||
                             *node.interrupt_pin == AmdGpio::kNoPin)) {
    return fail("chip '{}' cannot have its interrupt at pin {}: there is no such pin", node.name,
                *node.interrupt_pin);
  }
  settings.tag = fmt::format("{}@{}-{:02x}", node.model->name, bus.name, node.address);
  auto place = std::make_unique<Place>(*this, node.interrupt_pin);
  place->make(*node.model, std::move(settings));
  if (!addresses.insert(node.address, place->chip())) {
    return fail("chip '{}' cannot be at {:#04x} of bus '{}': another chip is there", node.name,
                node.address, bus.name);
  }
  places_.push_back(std::move(place));
  return {};
}

std::vector<vmm::Stateful*> ChipBoard::stateful_components() const {
  std::vector<vmm::Stateful*> components{clock_.get()};
  if (gpio_) {
    components.push_back(gpio_.get());
  }
  for (const auto& place : places_) {
    components.push_back(&place->chip());
  }
  for (const auto& bus : buses_) {
    components.push_back(bus.get());
  }
  return components;
}

}  // namespace ensemble::device
