#include "control/cli/input_command.h"

#include <algorithm>
#include <chrono>
#include <thread>

namespace ensemble::control {
namespace {

using std::chrono::milliseconds;

// Between two places of a swipe, as touch screens tell them.
constexpr std::uint32_t kSwipeStep = 16;

v1::SendInputRequest request_for(const InputOptions& options) {
  v1::SendInputRequest request;
  request.set_name("devices/" + options.device);
  return request;
}

Result<void> send_key(Client& client, const InputOptions& options, bool down) {
  v1::SendInputRequest request = request_for(options);
  request.mutable_key()->set_key(options.part);
  request.mutable_key()->set_down(down);
  return client.send_input(request);
}

Result<void> send_touch(Client& client, const InputOptions& options, std::uint32_t x,
                        std::uint32_t y) {
  v1::SendInputRequest request = request_for(options);
  request.mutable_touch()->mutable_place()->set_x(x);
  request.mutable_touch()->mutable_place()->set_y(y);
  return client.send_input(request);
}

Result<void> lift(Client& client, const InputOptions& options) {
  v1::SendInputRequest request = request_for(options);
  request.mutable_touch();
  return client.send_input(request);
}

std::uint32_t between(std::uint32_t from, std::uint32_t to, std::uint32_t part,
                      std::uint32_t whole) {
  const std::int64_t distance = std::int64_t{to} - from;
  return static_cast<std::uint32_t>(from + distance * part / whole);
}

}  // namespace

Result<void> press_key(Client& client, const InputOptions& options) {
  if (auto pressed = send_key(client, options, true); !pressed) {
    return pressed;
  }
  std::this_thread::sleep_for(milliseconds(options.milliseconds));
  return send_key(client, options, false);
}

Result<void> tap_screen(Client& client, const InputOptions& options) {
  if (auto touched = send_touch(client, options, options.x, options.y); !touched) {
    return touched;
  }
  std::this_thread::sleep_for(milliseconds(options.milliseconds));
  return lift(client, options);
}

Result<void> swipe_screen(Client& client, const InputOptions& options) {
  const std::uint32_t steps = std::max(options.milliseconds / kSwipeStep, 1U);
  const auto start = std::chrono::steady_clock::now();
  Result<void> moved = send_touch(client, options, options.x, options.y);
  const bool touches = moved.has_value();
  for (std::uint32_t step = 1; moved && step <= steps; ++step) {
    std::this_thread::sleep_until(start +
                                  milliseconds(between(0, options.milliseconds, step, steps)));
    moved = send_touch(client, options, between(options.x, options.end_x, step, steps),
                       between(options.y, options.end_y, step, steps));
  }
  // A finger does not stay on the screen because its way left it.
  const Result<void> lifted = touches ? lift(client, options) : Result<void>();
  return moved ? lifted : moved;
}

Result<void> rotate_crown(Client& client, const InputOptions& options) {
  v1::SendInputRequest request = request_for(options);
  request.mutable_rotary()->set_detents(options.detents);
  return client.send_input(request);
}

Result<void> set_switch(Client& client, const InputOptions& options) {
  v1::SendInputRequest request = request_for(options);
  request.mutable_switch_()->set_switch_(options.part);
  request.mutable_switch_()->set_on(options.on);
  return client.send_input(request);
}

}  // namespace ensemble::control
