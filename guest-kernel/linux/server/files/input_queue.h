#pragma once

#include <linux/input.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace linux_server {

// The events that wait for one open file of an input device. They can be taken once their report is
// complete. When there is no room for another, all but it are dropped, and SYN_DROPPED tells so.
class InputQueue {
 public:
  static constexpr std::size_t kSize = 512;  // a power of two

  // Whether a whole report waits.
  bool is_readable() const { return readable_ != 0; }
  // The end of a report of which nothing waits is left out.
  void add(const input_event& event);
  // The next event. Only while is_readable().
  const input_event& front() const { return events_[first_]; }
  void pop();
  // Drops the events of one type, and the reports that have no others.
  void drop(std::uint16_t type);
  // Drops all; what has waited is told as lost, at the time of `lost`.
  void drop_all(const input_event& lost);

 private:
  input_event& at(std::size_t place) { return events_[(first_ + place) % kSize]; }
  void append(const input_event& event);

  std::array<input_event, kSize> events_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::size_t readable_ = 0;  // of them, those of complete reports
};

}  // namespace linux_server
