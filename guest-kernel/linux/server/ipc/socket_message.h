#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/growing_array.h"

namespace linux_server {

class Process;
class UnixSocket;

// struct ucred
struct SocketCredentials {
  std::uint32_t process = 0;
  std::uint32_t user = ~std::uint32_t{0};
  std::uint32_t group = ~std::uint32_t{0};
  bool operator==(const SocketCredentials&) const = default;
};
SocketCredentials credentials_of(const Process& process);

// Open files on their way from one process to another (SCM_RIGHTS). Each is held.
class AttachedFiles {
 public:
  static constexpr std::size_t kMaximum = 253;  // SCM_MAX_FD

  AttachedFiles() = default;
  AttachedFiles(const AttachedFiles&) = delete;
  AttachedFiles& operator=(const AttachedFiles&) = delete;
  ~AttachedFiles() { clear(); }

  std::size_t size() const { return files_.size(); }
  File& operator[](std::size_t index) const { return *files_[index]; }
  // False: no memory.
  [[nodiscard]] bool add(File& file);
  [[nodiscard]] bool add_all(const AttachedFiles& others);
  void clear();

 private:
  GrowingArray<File*> files_;
};

// What was sent in one go and is not received yet: a header before its bytes.
class SocketMessage {
 public:
  // With room for `capacity` bytes; null: no memory. release_message() frees it. `always`: even if
  // sockets have used up their share of the memory.
  static SocketMessage* make(std::size_t capacity, bool always);

  std::span<std::byte> room() { return {data() + size_, capacity_ - size_}; }
  void append(std::size_t count) { size_ += count; }
  // What is left of it.
  std::span<const std::byte> bytes() const { return {data() + start_, size_ - start_}; }
  void consume(std::size_t count) { start_ += count; }
  void drop_files() { files.clear(); }
  std::size_t footprint() const { return sizeof(SocketMessage) + capacity_; }

  SocketMessage* next = nullptr;
  Reference<UnixSocket> sender;
  // What it counts against its sender's limit.
  std::size_t charge = 0;
  SocketCredentials credentials;
  AttachedFiles files;

 private:
  friend void release_message(SocketMessage* message);

  explicit SocketMessage(std::size_t capacity) : capacity_(capacity) {}
  ~SocketMessage();
  std::byte* data() const;

  std::size_t capacity_;
  std::size_t size_ = 0;
  std::size_t start_ = 0;
};

// Frees a message and closes the files in it. Sockets among them may hold messages of their own:
// those follow one after another, not one within another.
void release_message(SocketMessage* message);

// Whether any socket is on its way in a message, so that circles may exist.
std::uint32_t sockets_in_flight();

}  // namespace linux_server
