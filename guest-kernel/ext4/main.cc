// Keeps the ext4 file system of one disk, in a protection domain of its own: it reads what a
// hostile image says, and holds nothing else.

#include <new>

#include "guest-kernel/ext4/guest_disk.h"
#include "guest-kernel/ext4/library_runtime.h"
#include "guest-kernel/ext4/service.h"
#include "guest-kernel/lib/program.h"

namespace {

std::span<std::byte> bytes_of(const guest::Resource& resource) {
  return {reinterpret_cast<std::byte*>(resource.address), resource.size};
}

alignas(ext4::Volume) std::byte volume_memory[sizeof(ext4::Volume)];
alignas(ext4::Service) std::byte service_memory[sizeof(ext4::Service)];

}  // namespace

void program_main(guest::StartInfo& info) {
  const guest::Resource* block = info.find(guest::Role::kBlock);
  const guest::Resource* shared = info.find(guest::Role::kSharedMemory);
  const guest::Resource* memory = info.find(guest::Role::kMemory);
  const guest::Slot client = info.slot_of(guest::Role::kClient);
  const guest::Receiver receiver(info.slot_of(guest::Role::kOwnPort));
  if (block == nullptr || shared == nullptr || memory == nullptr ||
      shared->size < ext4::kSharedSize) {
    return;
  }
  // Half for what libext2fs allocates, half for blocks.
  const auto arena = bytes_of(*memory);
  ext4::start_library(arena.first(arena.size() / 2));
  ext4::GuestDisk disk(*block);
  auto& volume = *new (volume_memory) ext4::Volume(disk, arena.last(arena.size() / 2));
  auto& service = *new (service_memory) ext4::Service(volume, bytes_of(*shared));
  std::uint64_t token = 0;
  guest::Message answer;
  for (;;) {
    const auto received = receiver.reply_and_wait(token, answer);
    if (!received) {
      return;
    }
    token = received->token;
    if (token != 0) {
      ext4::set_library_time(static_cast<std::int64_t>(received->message[1]));
      answer.word = service.answer(received->message.word);
    }
    if (service.has_started_commit()) {
      guest::reply(token, answer);
      token = 0;
      service.finish_commit();
      guest::signal(client);
    }
  }
}
