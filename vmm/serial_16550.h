#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>

#include "vmm/bus.h"
#include "vmm/interrupt_line.h"
#include "vmm/state.h"

namespace ensemble::vmm {

// A 16550A UART (National Semiconductor PC16550D) whose line is infinitely fast: what the guest
// transmits reaches the sink at once, and input waits in a buffer behind the receive FIFO.
class Serial16550 final : public BusDevice, public Stateful {
 public:
  static constexpr uint64_t kSize = 8;
  static constexpr size_t kInputLimit = 65536;  // Bytes of input that wait for the guest.

  // `interrupt` may be null. `sink` is called with the bytes that the guest transmits, from a
  // register access: it must not block.
  Serial16550(std::unique_ptr<InterruptLine> interrupt,
              std::function<void(std::span<const std::byte>)> sink);

  // Input for the guest. Returns how many bytes were taken: fewer than given when kInputLimit is
  // reached. Call with the device lock held.
  size_t push_input(std::span<const std::byte> data);

  // How many bytes `push_input` would take.
  size_t input_space() const { return kInputLimit - input_.size(); }

  // Called when a full input buffer has room again. From a register access: must not block.
  void set_input_ready_handler(std::function<void()> handler) { on_ready_ = std::move(handler); }

  std::string_view name() const override { return "serial-16550"; }
  void read(uint64_t offset, std::span<std::byte> data) override;
  void write(uint64_t offset, std::span<const std::byte> data) override;

  std::string state_tag() const override { return "serial"; }
  uint32_t state_version() const override { return 1; }
  Result<void> save(StateWriter& writer) const override;
  Result<void> restore(StateReader& reader, uint32_t version) override;

 private:
  uint8_t read_register(uint64_t offset);
  void write_register(uint64_t offset, uint8_t value);
  uint8_t receive();
  void transmit(uint8_t value);
  void write_fifo_control(uint8_t value);
  uint8_t line_status() const;
  uint8_t modem_status() const;
  uint8_t pending_interrupt() const;
  void update_interrupt();

  std::unique_ptr<InterruptLine> interrupt_;
  std::function<void(std::span<const std::byte>)> sink_;
  std::function<void()> on_ready_;

  std::deque<uint8_t> input_;
  uint8_t interrupt_enable_ = 0;
  uint8_t fifo_control_ = 0;
  uint8_t line_control_ = 0;
  uint8_t modem_control_ = 0;
  uint8_t scratch_ = 0;
  uint8_t divisor_low_ = 12;  // 9600 baud.
  uint8_t divisor_high_ = 0;
  bool transmit_empty_pending_ = false;  // A THRE interrupt not yet seen in IIR.
  bool overrun_ = false;
  bool line_high_ = false;  // Level of the interrupt output before it was made an edge.
};

}  // namespace ensemble::vmm
