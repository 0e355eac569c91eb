#include "vmm/state.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

namespace ensemble::vmm {
namespace {

constexpr std::array<char, 8> kMagic = {'E', 'N', 'S', 'S', 'T', 'A', 'T', 'E'};
constexpr uint32_t kFormatVersion = 1;
constexpr uint64_t kTagLimit = 255;
constexpr uint64_t kSectionLimit = 64ull * 1024 * 1024;

// FNV-1a: finds damage, not forgery.
uint64_t checksum(std::span<const std::byte> data) {
  uint64_t hash = 0xcbf29ce484222325;
  for (std::byte byte : data) {
    hash = (hash ^ std::to_integer<uint64_t>(byte)) * 0x100000001b3;
  }
  return hash;
}

struct Section {
  uint32_t version = 0;
  std::span<const std::byte> contents;
};
using Sections = std::map<std::string, Section>;

Result<void> check_header(StateReader& reader) {
  const auto magic = reader.object<std::array<char, 8>>();
  const uint32_t version = reader.u32();
  if (!reader.status() || magic != kMagic) {
    return fail("this is no saved state of a machine");
  }
  if (version != kFormatVersion) {
    return fail("the saved state has format {}; this program reads format {}", version,
                kFormatVersion);
  }
  return {};
}

Result<Sections> parse(std::span<const std::byte> state) {
  StateReader reader(state);
  if (auto checked = check_header(reader); !checked) {
    return std::unexpected(checked.error());
  }
  Sections sections;
  const uint32_t count = reader.u32();
  for (uint32_t i = 0; i < count; ++i) {
    const std::string tag = reader.string(kTagLimit);
    Section section;
    section.version = reader.u32();
    section.contents = reader.bytes(kSectionLimit);
    const uint64_t expected = reader.u64();
    if (auto status = reader.status(); !status) {
      return std::unexpected(status.error().with_context(
          fmt::format("section {} of {} of the saved state", i + 1, count)));
    }
    if (checksum(section.contents) != expected) {
      return fail("section \"{}\" of the saved state is damaged: its checksum differs", tag);
    }
    if (!sections.emplace(tag, section).second) {
      return fail("section \"{}\" occurs twice in the saved state", tag);
    }
  }
  if (auto finished = reader.finish(); !finished) {
    return std::unexpected(finished.error().with_context("the saved state"));
  }
  return sections;
}

Result<void> check(const Sections& sections, std::span<Stateful* const> components) {
  std::map<std::string, const Stateful*> by_tag;
  for (const Stateful* component : components) {
    by_tag.emplace(component->state_tag(), component);
  }
  for (const auto& [tag, section] : sections) {
    auto found = by_tag.find(tag);
    if (found == by_tag.end()) {
      return fail("section \"{}\" of the saved state belongs to no component of this machine", tag);
    }
    const uint32_t newest = found->second->state_version();
    if (section.version == 0 || section.version > newest) {
      return fail("section \"{}\" of the saved state has version {}; versions 1 to {} can be read",
                  tag, section.version, newest);
    }
  }
  for (const auto& [tag, component] : by_tag) {
    if (!sections.contains(tag)) {
      return fail("the saved state lacks section \"{}\"", tag);
    }
  }
  return {};
}

}  // namespace

void StateWriter::integer(uint64_t value, int size) {
  for (int i = 0; i < size; ++i) {
    data_.push_back(static_cast<std::byte>(value >> (8 * i)));
  }
}

void StateWriter::u8(uint8_t value) {
  integer(value, 1);
}
void StateWriter::u16(uint16_t value) {
  integer(value, 2);
}
void StateWriter::u32(uint32_t value) {
  integer(value, 4);
}
void StateWriter::u64(uint64_t value) {
  integer(value, 8);
}

void StateWriter::bytes(std::span<const std::byte> value) {
  u64(value.size());
  data_.insert(data_.end(), value.begin(), value.end());
}

void StateWriter::string(std::string_view value) {
  bytes(std::as_bytes(std::span(value)));
}

void StateReader::set_error(std::string message) {
  if (error_.empty()) {
    error_ = std::move(message);
  }
}

uint64_t StateReader::integer(size_t size) {
  if (!error_.empty()) {
    return 0;
  }
  if (size > data_.size() - position_) {
    set_error(fmt::format("ends after {} bytes, within a field", data_.size()));
    return 0;
  }
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) {
    value |= std::to_integer<uint64_t>(data_[position_ + i]) << (8 * i);
  }
  position_ += size;
  return value;
}

bool StateReader::boolean() {
  const uint8_t value = u8();
  if (value > 1) {
    set_error(fmt::format("holds {} where 0 or 1 was expected", value));
  }
  return value == 1;
}

uint8_t StateReader::u8() {
  return static_cast<uint8_t>(integer(1));
}
uint16_t StateReader::u16() {
  return static_cast<uint16_t>(integer(2));
}
uint32_t StateReader::u32() {
  return static_cast<uint32_t>(integer(4));
}
uint64_t StateReader::u64() {
  return integer(8);
}

std::span<const std::byte> StateReader::bytes(uint64_t limit) {
  const uint64_t size = u64();
  if (!error_.empty()) {
    return {};
  }
  if (size > limit || size > data_.size() - position_) {
    set_error(fmt::format("holds a field of {} bytes where at most {} were expected", size,
                          std::min<uint64_t>(limit, data_.size() - position_)));
    return {};
  }
  const auto value = data_.subspan(position_, size);
  position_ += size;
  return value;
}

std::string StateReader::string(uint64_t limit) {
  const auto contents = bytes(limit);
  return {reinterpret_cast<const char*>(contents.data()), contents.size()};
}

Result<void> StateReader::status() const {
  if (!error_.empty()) {
    return fail("{}", error_);
  }
  return {};
}

Result<void> StateReader::finish() const {
  if (error_.empty() && position_ != data_.size()) {
    return fail("holds {} bytes more than expected", data_.size() - position_);
  }
  return status();
}

Result<std::vector<std::byte>> save_state(std::span<Stateful* const> components) {
  StateWriter state;
  state.object(kMagic);
  state.u32(kFormatVersion);
  state.u32(static_cast<uint32_t>(components.size()));
  for (const Stateful* component : components) {
    StateWriter contents;
    if (auto saved = component->save(contents); !saved) {
      return std::unexpected(
          saved.error().with_context("cannot save the state of " + component->state_tag()));
    }
    state.string(component->state_tag());
    state.u32(component->state_version());
    state.bytes(contents.data());
    state.u64(checksum(contents.data()));
  }
  return state.data();
}

Result<void> restore_state(std::span<const std::byte> state,
                           std::span<Stateful* const> components) {
  auto sections = parse(state);
  if (!sections) {
    return std::unexpected(sections.error());
  }
  if (auto checked = check(*sections, components); !checked) {
    return std::unexpected(checked.error());
  }
  for (Stateful* component : components) {
    const Section& section = sections->at(component->state_tag());
    StateReader reader(section.contents);
    if (auto restored = component->restore(reader, section.version); !restored) {
      return std::unexpected(restored.error().with_context(
          fmt::format("section \"{}\" of the saved state", component->state_tag())));
    }
  }
  return {};
}

}  // namespace ensemble::vmm
