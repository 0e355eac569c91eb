#include "guest-kernel/linux/server/ipc/socket_message.h"

#include <new>
#include <utility>

#include "guest-kernel/linux/server/ipc/socket_file.h"
#include "guest-kernel/linux/server/process.h"

namespace linux_server {
namespace {

constinit std::uint32_t in_flight = 0;
constinit SocketMessage* first_dead = nullptr;
constinit bool is_burying = false;

}  // namespace

SocketCredentials credentials_of(const Process& process) {
  return {process.id(), process.credentials.effective_user, process.credentials.effective_group};
}

std::uint32_t sockets_in_flight() {
  return in_flight;
}

bool AttachedFiles::add(File& file) {
  if (!files_.push_back(&file)) {
    return false;
  }
  file.acquire();
  if (SocketFile* socket = as_socket(&file); socket != nullptr) {
    ++socket->in_flight;
    ++in_flight;
  }
  return true;
}

bool AttachedFiles::add_all(const AttachedFiles& others) {
  for (std::size_t index = 0; index < others.size(); ++index) {
    if (!add(others[index])) {
      return false;
    }
  }
  return true;
}

void AttachedFiles::clear() {
  while (!files_.empty()) {
    File* const file = files_[files_.size() - 1];
    files_.erase(files_.size() - 1, files_.size());
    if (SocketFile* socket = as_socket(file); socket != nullptr) {
      --socket->in_flight;
      --in_flight;
    }
    file->release();
  }
}

SocketMessage* SocketMessage::make(std::size_t capacity, bool always) {
  const std::size_t size = sizeof(SocketMessage) + capacity;
  void* const memory = always ? queues_share.allocate_always(size) : queues_share.allocate(size);
  return memory == nullptr ? nullptr : new (memory) SocketMessage(capacity);
}

std::byte* SocketMessage::data() const {
  return reinterpret_cast<std::byte*>(const_cast<SocketMessage*>(this) + 1);
}

SocketMessage::~SocketMessage() {
  if (sender) {
    sender->release_charge(charge);
  }
}

void release_message(SocketMessage* message) {
  message->next = std::exchange(first_dead, message);
  if (is_burying) {
    return;
  }
  is_burying = true;
  while (first_dead != nullptr) {
    SocketMessage* const dead = std::exchange(first_dead, first_dead->next);
    const std::size_t size = dead->footprint();
    dead->~SocketMessage();
    queues_share.release(dead, size);
  }
  is_burying = false;
}

}  // namespace linux_server
