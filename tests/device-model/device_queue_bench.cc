// What the device model makes of filled rings, without a guest: requests and bytes a second of the
// disk beside pread(2) and pwrite(2) of the same file, and frames of the network beside copying
// them. In turns; prints JSON with medians and ratios. Run by scripts/bench devices.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "device-model/virtio/block_device.h"
#include "device-model/virtio/network_device.h"
#include "temporary_folder.h"
#include "virtio_harness.h"
#include "vmm/file_descriptor.h"

namespace ensemble::device {
namespace {

using Harness = VirtioHarness;
using Buffer = vmm::DriverQueue::Buffer;
using Seconds = std::chrono::duration<double>;

constexpr std::uint32_t kDiskBytes = 64 << 20;
constexpr std::uint32_t kIn = 0, kOut = 1;
constexpr std::uint16_t kSlots = Harness::kQueueSize;
// Of each slot: header, status and indirect table.
constexpr std::uint64_t kSlotBytes = 0x400;
constexpr std::uint64_t kStatusOffset = 0x100, kTableOffset = 0x200;
constexpr std::uint64_t kPayload = Harness::kData + 0x10000;

void require(bool holds, const char* what) {
  if (!holds) {
    std::fprintf(stderr, "device_queue_bench: %s\n", what);
    std::exit(1);
  }
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return Seconds(std::chrono::steady_clock::now() - start).count();
}

// A driver of a disk that keeps `depth` requests in the ring.
class DiskDriver {
 public:
  explicit DiskDriver(const std::string& path) {
    harness_.attach(BlockDevice::create(path, {}, harness_.loop()).value());
    harness_.start(Harness::kVersion1 | Harness::kIndirect | Harness::kEventIndex);
  }

  // Moves `requests` blocks of `size` bytes, one behind the other, from the disk's start on.
  void move(std::uint32_t type, std::uint32_t size, std::uint32_t requests, std::uint16_t depth) {
    std::uint32_t offered = 0;
    std::uint32_t done = 0;
    while (done < requests) {
      bool any = false;
      for (; offered < requests && offered - done < depth; ++offered) {
        offer(type, size, offered);
        any = true;
      }
      if (any) {
        harness_.write(Harness::kQueueNotify, 0);
      }
      harness_.wait_for_used(0);
      for (++done; harness_.queue(0).take_used(); ++done) {
      }
    }
    for (std::uint16_t slot = 0; slot < depth; ++slot) {
      require(harness_.memory().load<std::uint8_t>(status_at(slot)).value() == 0,
              "a request has failed");
    }
  }

 private:
  static std::uint64_t header_at(std::uint32_t slot) { return Harness::kData + slot * kSlotBytes; }
  static std::uint64_t status_at(std::uint32_t slot) { return header_at(slot) + kStatusOffset; }

  // Slots follow the descriptors' own order: one worker returns requests in order.
  void offer(std::uint32_t type, std::uint32_t size, std::uint32_t number) {
    const std::uint32_t slot = next_slot_++ % kSlots;
    vmm::GuestMemory& memory = harness_.memory();
    memory.store(header_at(slot), type).value();
    memory.store(header_at(slot) + 8, std::uint64_t{number} * size % kDiskBytes / 512).value();
    memory.store(status_at(slot), std::uint8_t{0xEE}).value();
    const std::array<Buffer, 3> buffers{
        Buffer{header_at(slot), 16, false},
        Buffer{kPayload + std::uint64_t{slot} * size, size, type == kIn},
        Buffer{status_at(slot), 1, true}};
    harness_.queue(0).offer(
        harness_.queue(0).write_indirect(header_at(slot) + kTableOffset, buffers));
  }

  Harness harness_;
  std::uint32_t next_slot_ = 0;
};

void move_on_host(int file, std::uint32_t type, std::uint32_t size, std::uint32_t requests) {
  static std::vector<char> buffer(1 << 20);
  for (std::uint32_t number = 0; number < requests; ++number) {
    const auto offset = static_cast<off_t>(std::uint64_t{number} * size % kDiskBytes);
    const ssize_t moved = type == kIn ? ::pread(file, buffer.data(), size, offset)
                                      : ::pwrite(file, buffer.data(), size, offset);
    require(moved == static_cast<ssize_t>(size), "the file cannot be read or written");
  }
}

// Takes frames, and has as many as wanted.
class EndlessNetwork final : public NetworkBackend {
 public:
  std::uint16_t mtu() const override { return 1500; }
  void send(std::span<const std::byte> frame) override { sent += frame.size(); }
  void flush() override {}
  std::size_t receive(std::span<std::byte> buffer) override {
    if (to_come == 0) {
      return 0;
    }
    --to_come;
    std::memcpy(buffer.data(), frame_.data(), frame_.size());
    return frame_.size();
  }
  void set_readable_handler(std::function<void()>) override {}

  std::uint64_t sent = 0;
  std::uint64_t to_come = 0;

 private:
  std::array<std::byte, 1514> frame_{};
};

constexpr std::uint32_t kFrame = 1514;
constexpr std::uint32_t kFrameBuffer = kFrame + sizeof(NetworkDevice::Header);

class NetworkDriver {
 public:
  NetworkDriver() {
    auto network = std::make_unique<EndlessNetwork>();
    network_ = network.get();
    harness_.attach(
        std::make_unique<NetworkDevice>(MacAddress{2, 0, 0, 0, 0, 1}, std::move(network)));
    harness_.start(Harness::kVersion1 | Harness::kEventIndex);
  }

  void move(std::uint16_t queue, std::uint32_t frames) {
    network_->sent = 0;
    network_->to_come = queue == NetworkDevice::kReceiveQueue ? frames : 0;
    for (std::uint32_t done = 0; done < frames;) {
      const std::uint32_t batch = std::min<std::uint32_t>(frames - done, kSlots);
      for (std::uint32_t i = 0; i < batch; ++i) {
        harness_.queue(queue).offer_chain({{Harness::kData + std::uint64_t{i} * 0x800, kFrameBuffer,
                                            queue == NetworkDevice::kReceiveQueue}});
      }
      harness_.notify(queue);
      for (; harness_.queue(queue).take_used(); ++done) {
      }
    }
    require(
        queue == NetworkDevice::kReceiveQueue || network_->sent == std::uint64_t{frames} * kFrame,
        "frames were lost");
  }

 private:
  Harness harness_;
  EndlessNetwork* network_ = nullptr;
};

void copy_on_host(std::uint32_t frames) {
  static std::vector<char> from(kSlots * kFrame, 'f');
  static std::vector<char> to(kFrame);
  for (std::uint32_t i = 0; i < frames; ++i) {
    std::memcpy(to.data(), from.data() + std::size_t{i % kSlots} * kFrame, kFrame);
    asm volatile("" : : "r"(to.data()) : "memory");
  }
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

bool first_case = true;

void report(const char* name, std::uint32_t size, std::uint32_t count, int runs,
            const std::function<void()>& device, const std::function<void()>& host) {
  std::vector<double> device_times;
  std::vector<double> host_times;
  device();  // Starts threads, fills the host's page cache.
  host();
  for (int run = 0; run < runs; ++run) {
    device_times.push_back(seconds_of(device));
    host_times.push_back(seconds_of(host));
  }
  const double device_time = median(device_times);
  const double host_time = median(host_times);
  std::printf(
      "%s\n  \"%s\": {\"bytes_each\": %u, \"per_second\": %.0f, \"mb_per_second\": %.1f, "
      "\"host_per_second\": %.0f, \"ratio_to_host\": %.3f}",
      std::exchange(first_case, false) ? "{" : ",", name, size, count / device_time,
      count * static_cast<double>(size) / device_time / 1e6, count / host_time,
      host_time / device_time);
}

void measure(int runs) {
  const TemporaryFolder folder;
  const std::string path = folder.write("disk.img", std::string(kDiskBytes, 'd'));
  const vmm::FileDescriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  require(static_cast<bool>(file), "the disk's file cannot be opened");
  struct Case {
    const char* name;
    std::uint32_t type;
    std::uint32_t size;
    std::uint32_t requests;
    std::uint16_t depth;
  };
  constexpr std::array<Case, 5> kCases{{{"block_read_4k_depth_1", kIn, 4096, 4000, 1},
                                        {"block_read_4k_depth_16", kIn, 4096, 16000, 16},
                                        {"block_write_4k_depth_16", kOut, 4096, 16000, 16},
                                        {"block_read_256k_depth_16", kIn, 256 << 10, 1024, 16},
                                        {"block_write_256k_depth_16", kOut, 256 << 10, 1024, 16}}};
  DiskDriver disk(path);
  for (const Case& each : kCases) {
    report(
        each.name, each.size, each.requests, runs,
        [&] { disk.move(each.type, each.size, each.requests, each.depth); },
        [&] { move_on_host(file.get(), each.type, each.size, each.requests); });
  }
  constexpr std::uint32_t kFrames = 50000;
  NetworkDriver network;
  report(
      "network_transmit", kFrame, kFrames, runs,
      [&] { network.move(NetworkDevice::kTransmitQueue, kFrames); }, [] { copy_on_host(kFrames); });
  report(
      "network_receive", kFrame, kFrames, runs,
      [&] { network.move(NetworkDevice::kReceiveQueue, kFrames); }, [] { copy_on_host(kFrames); });
  std::printf("\n}\n");
}

}  // namespace
}  // namespace ensemble::device

int main(int argc, char** argv) {
  const int runs = argc > 1 ? std::atoi(argv[1]) : 5;
  if (argc > 2 || runs < 1) {
    std::fprintf(stderr, "usage: device_queue_bench [RUNS]\n");
    return 2;
  }
  ensemble::device::measure(runs);
}
