#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "guest-kernel/chips/chip.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/directory.h"
#include "guest-kernel/linux/server/files/chip_client.h"

// What /sys has of devices whose drivers answer questions: files and links.
namespace linux_server {

// A file that says what a driver answers, or always the same.
class AttributeNode : public Node {
 public:
  AttributeNode(const chips::Attribute& attribute, ChipClient& chip)
      : AttributeNode(attribute.name, attribute.text, attribute.channel, chip) {
    is_setting_ = attribute.is_setting;
    attributes_.mode |= is_setting_ ? 0200u : 0u;
  }
  // One that always says `text`.
  AttributeNode(std::string_view name, std::string_view text, std::uint32_t channel,
                ChipClient& chip)
      : Node(name, kRegularFile | 0444), text_(text), channel_(channel), chip_(&chip) {
    attributes_.device = kSystemDevice;
    attributes_.accessed = attributes_.modified = attributes_.changed = file_time();
  }

  std::uint64_t size() const override { return 4096; }  // as all of Linux's
  Result<Reference<File>> open(std::uint32_t flags, Process& opener) override;

  // Cutting it off is part of opening it for writing, and changes nothing.
  Result<void> truncate(std::uint64_t /*size*/) override {
    return is_setting_ ? Result<void>() : fail(EACCES);
  }

  std::string_view text() const { return text_; }
  std::uint32_t channel() const { return channel_; }
  ChipClient& chip() const { return *chip_; }

 private:
  std::string_view text_;
  std::uint32_t channel_;
  ChipClient* chip_;
  bool is_setting_ = false;
};

class AttributeLink : public Node {
 public:
  AttributeLink(Name name, std::string_view target)
      : Node(std::move(name), kSymbolicLink | 0777), size_(target.size()) {
    attributes_.device = kSystemDevice;
    guest::copy_text(target_, target);
  }
  std::uint64_t size() const override { return size_; }
  Result<std::string_view> read_link(std::span<char> /*buffer*/,
                                     const Process* /*viewer*/) const override {
    return guest::text_of(target_);
  }

 private:
  std::array<char, 96> target_{};
  std::uint64_t size_;
};

// The directory at `path` below `root`; what is missing of it is made. Null: no memory.
Directory* enter_path(Directory& root, std::string_view path);

}  // namespace linux_server
