#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "guest-kernel/ext4/disk.h"

namespace ext4 {

// The same numbers for the same seed.
class Random {
 public:
  using result_type = unsigned;
  explicit Random(unsigned seed) : engine_(seed) {}
  static constexpr unsigned min() { return 0; }
  static constexpr unsigned max() { return 0xffff'ffff; }
  unsigned operator()() { return static_cast<unsigned>(engine_()); }

 private:
  std::mt19937 engine_;
};

// A disk in memory that notes every write and flush, so that the images which a power cut can leave
// may be made afterwards.
class RecordingDisk : public Disk {
 public:
  explicit RecordingDisk(std::vector<std::byte> image) : image_(std::move(image)), first_(image_) {}
  explicit RecordingDisk(std::size_t size) : RecordingDisk(std::vector<std::byte>(size)) {}

  int read(std::uint64_t offset, void* to, std::uint64_t size) override {
    if (offset + size > image_.size()) {
      return EIO;
    }
    std::memcpy(to, image_.data() + offset, size);
    return 0;
  }
  int write(std::uint64_t offset, const void* from, std::uint64_t size) override {
    if (offset + size > image_.size() || writes_left == 0) {
      return EIO;
    }
    if (failing_writes != 0) {
      --failing_writes;
      return EIO;
    }
    --writes_left;
    const auto* bytes = static_cast<const std::byte*>(from);
    std::memcpy(image_.data() + offset, bytes, size);
    if (recording) {
      log_.push_back({offset, {bytes, bytes + size}});
    }
    return 0;
  }
  int flush() override {
    if (flushes_left == 0) {
      return EIO;
    }
    --flushes_left;
    if (recording) {
      log_.push_back({});
    }
    return 0;
  }
  std::uint64_t size() const override { return image_.size(); }
  bool is_read_only() const override { return false; }

  const std::vector<std::byte>& image() const { return image_; }
  // How many writes and flushes there were.
  std::size_t events() const { return log_.size(); }

  // The disk after a cut following `events` of them: what was flushed, and of the rest a part, in
  // any order, the last of it perhaps torn between sectors.
  std::vector<std::byte> after_cut(std::size_t events, Random& random) const {
    std::vector<std::byte> image = first_;
    std::size_t flushed = events;
    while (flushed != 0 && !log_[flushed - 1].bytes.empty()) {
      --flushed;
    }
    for (std::size_t i = 0; i < flushed; ++i) {
      put(image, log_[i], log_[i].bytes.size());
    }
    std::vector<std::size_t> rest;
    const unsigned kept = random() % 101;
    for (std::size_t i = flushed; i < events; ++i) {
      if (random() % 100 < kept) {
        rest.push_back(i);
      }
    }
    if (random() % 2 == 0) {
      std::shuffle(rest.begin(), rest.end(), random);
    }
    for (const std::size_t i : rest) {
      const std::size_t sectors = log_[i].bytes.size() / kSector;
      const bool torn = i == rest.back() && random() % 4 == 0;
      put(image, log_[i], kSector * (torn ? random() % (sectors + 1) : sectors));
    }
    return image;
  }

  bool recording = true;
  std::size_t writes_left = ~std::size_t{0};  // then the disk fails
  std::size_t failing_writes = 0;             // the next ones
  std::size_t flushes_left = ~std::size_t{0};

 private:
  struct Event {
    std::uint64_t offset = 0;
    std::vector<std::byte> bytes;  // empty: a flush
  };
  static void put(std::vector<std::byte>& image, const Event& event, std::size_t size) {
    std::copy_n(event.bytes.begin(), size,
                image.begin() + static_cast<std::ptrdiff_t>(event.offset));
  }

  std::vector<std::byte> image_;
  std::vector<std::byte> first_;
  std::vector<Event> log_;
};

}  // namespace ext4
