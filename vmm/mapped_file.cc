#include "vmm/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <utility>

namespace ensemble::vmm {
namespace {

constexpr size_t kLimit = 128;
constexpr size_t kNoPlace = kLimit;

// What the signal handler knows of a mapping. Free where `data` is null; written under a lock.
struct Place {
  std::atomic<std::byte*> data = nullptr;
  std::atomic<uint64_t> size = 0;
  std::atomic<uint64_t> file_size = 0;
  std::atomic<int> file = -1;
  std::atomic<int> loss_event = -1;
  std::atomic<bool> lost = false;
};
static_assert(std::atomic<std::byte*>::is_always_lock_free &&
              std::atomic<uint64_t>::is_always_lock_free);

std::array<Place, kLimit> places;
std::mutex places_lock;
struct sigaction previous_action;

bool is_shorter(int file, uint64_t size) {
  struct stat status = {};
  return ::fstat(file, &status) != 0 || static_cast<uint64_t>(status.st_size) < size;
}

// Zeros where the file was. Only calls what a signal handler may.
bool replace(Place& place, std::byte* data) {
  if (::mmap(data, place.size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
      MAP_FAILED) {
    return false;
  }
  place.lost = true;
  const uint64_t one = 1;
  (void)!::write(place.loss_event, &one, sizeof(one));
  return true;
}

void handle_bus_error(int /*signal*/, siginfo_t* info, void* /*context*/) {
  const int saved_errno = errno;
  bool replaced = false;
  for (Place& place : places) {
    std::byte* const data = place.data.load(std::memory_order_acquire);
    if (data == nullptr || place.lost) {
      continue;
    }
    // KVM may name an address of the guest's, so the file itself is asked too.
    const auto* address = static_cast<const std::byte*>(info->si_addr);
    if ((address >= data && address < data + place.size) ||
        is_shorter(place.file, place.file_size)) {
      replaced = replace(place, data) || replaced;
    }
  }
  if (!replaced) {
    // Not ours. A fault comes again when this returns; what was sent does not.
    ::sigaction(SIGBUS, &previous_action, nullptr);
    if (info->si_code <= 0) {
      ::raise(SIGBUS);
    }
  }
  errno = saved_errno;
}

void install_handler() {
  static const bool installed = [] {
    struct sigaction action = {};
    action.sa_sigaction = handle_bus_error;
    action.sa_flags = SA_SIGINFO;
    ::sigaction(SIGBUS, &action, &previous_action);
    return true;
  }();
  (void)installed;
}

}  // namespace

Result<MappedFile> MappedFile::map(std::string name, int fd, uint64_t file_size, int loss_event) {
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  MappedFile mapped;
  mapped.name_ = std::move(name);
  mapped.place_ = kNoPlace;
  mapped.file_size_ = file_size;
  mapped.file_ = FileDescriptor(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  const uint64_t size = (file_size + page - 1) / page * page;
  void* data = !mapped.file_ ? MAP_FAILED
                             : ::mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_NORESERVE,
                                      mapped.file_.get(), 0);
  if (data == MAP_FAILED) {
    return std::unexpected(Error::from_errno(fmt::format("cannot map {}", mapped.name_), errno));
  }
  mapped.data_ = static_cast<std::byte*>(data);
  mapped.size_ = size;
  ::madvise(data, size, MADV_DONTDUMP);

  install_handler();
  const std::lock_guard guard(places_lock);
  const auto free = std::ranges::find(places, nullptr, [](const Place& place) {
    return place.data.load(std::memory_order_relaxed);
  });
  if (free == places.end()) {
    return fail("cannot map {}: a process maps at most {} files", mapped.name_, kLimit);
  }
  mapped.place_ = static_cast<size_t>(free - places.begin());
  free->size = size;
  free->file_size = file_size;
  free->file = mapped.file_.get();
  free->loss_event = loss_event;
  free->lost = false;
  free->data.store(mapped.data_, std::memory_order_release);
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : name_(std::move(other.name_)),
      file_(std::move(other.file_)),
      file_size_(other.file_size_),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      place_(std::exchange(other.place_, kNoPlace)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(file_, other.file_);
  std::swap(file_size_, other.file_size_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(place_, other.place_);
  return *this;
}

MappedFile::~MappedFile() {
  if (place_ != kNoPlace) {
    const std::lock_guard guard(places_lock);
    places[place_].data.store(nullptr, std::memory_order_release);
  }
  if (data_ != nullptr) {
    ::munmap(data_, size_);
  }
}

bool MappedFile::lost() const {
  return (place_ != kNoPlace && places[place_].lost) || is_shorter(file_.get(), file_size_);
}

}  // namespace ensemble::vmm
