#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "guest-kernel/lib/byte_ring.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/start_info.h"
#include "guest-kernel/linux/server/terminal_line.h"

namespace linux_server {

// The device's console: the rings that it shares with the driver, and the line discipline in
// between. Never waits: callers block on is_readable() and writable().
class Terminal : public TerminalLine {
 public:
  // Nobody is there: output vanishes, input never comes.
  Terminal();
  // `console`: Role::kConsole.
  explicit Terminal(const guest::Resource& console);

  // Takes what the driver has received. Returns the signal that the last of it stands for, where
  // there is no foreground group to get it; input after it stays in the ring.
  TerminalSignal take_input();
  std::size_t write(std::span<const std::byte> bytes) override;
  std::size_t write(std::string_view text) { return write(std::as_bytes(std::span(text))); }
  bool is_writable() const override { return output_.room() >= kSpareRoom && !is_stopped(); }
  // Asks for a signal when there is something to read. False: there is something already.
  // While there is no room for it, nothing is asked for.
  bool wait_for_input();
  // Once after programs have made room again, by reading: enough that the driver is not asked for
  // each line.
  bool has_room_again() { return std::exchange(has_room_again_, false); }
  void input_taken() override {
    if (is_full_ && discipline().has_much_room()) {
      is_full_ = false;
      has_room_again_ = true;
    }
  }
  bool wait_for_room() override { return is_stopped() || output_.wait_for_room(kSpareRoom); }
  // Output was written that the driver has not been told of.
  bool has_news() const { return has_news_; }
  // The driver had better start on it: half the room is gone.
  bool is_half_full() const { return output_.room() < guest::kConsoleOutputSize / 2; }
  // Tells the driver what it waits for. Once after a batch of work.
  void notify_driver();

 private:
  // Room below which a writer waits: an echo still fits.
  static constexpr std::size_t kSpareRoom = 256;

  bool echo(char byte) override;

  guest::Slot driver_;
  bool has_news_ = false;
  bool is_full_ = false;
  bool has_room_again_ = false;
  guest::ByteRingProducer output_;
  guest::ByteRingConsumer input_;
};

}  // namespace linux_server
