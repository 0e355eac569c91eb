#include "vmm/guest_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

namespace ensemble::vmm {
namespace {

constexpr uint64_t kMebibyte = 1024 * 1024;
constexpr uint64_t kGibibyte = 1024 * kMebibyte;
constexpr uint64_t kMinimumSize = 16 * kMebibyte;
constexpr uint64_t kMaximumSize = 32 * kGibibyte;
constexpr uint64_t kSizeStep = 2 * kMebibyte;
// docs/machine.md, "Physical memory".
constexpr uint64_t kHoleStart = 3 * kGibibyte;
constexpr uint64_t kHoleEnd = 4 * kGibibyte;

uint64_t page_size() {
  return static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

Result<void> check_size(uint64_t size) {
  if (size < kMinimumSize || size > kMaximumSize || size % kSizeStep != 0) {
    return fail(
        "a memory of {} bytes is not possible: it must be a multiple of 2 MiB, from 16 MiB to 32 "
        "GiB",
        size);
  }
  return {};
}

bool overlap(const MemorySlot& a, const MemorySlot& b) {
  return a.guest_address < b.guest_address + b.size && b.guest_address < a.guest_address + a.size;
}

// `size` bytes of addresses that start at a multiple of a large page, so that KVM can map large
// pages: guest and host addresses have to agree in their lower bits.
void* reserve_addresses(uint64_t size) {
  const uint64_t wanted = size + kSizeStep;
  void* start =
      ::mmap(nullptr, wanted, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) {
    return MAP_FAILED;
  }
  auto* bytes = static_cast<std::byte*>(start);
  const uint64_t before = -reinterpret_cast<uintptr_t>(start) % kSizeStep;
  if (before != 0) {
    ::munmap(bytes, before);
  }
  ::munmap(bytes + before + size, kSizeStep - before);
  return bytes + before;
}

// Which pages of memory have contents.
class PageMap {
 public:
  static Result<PageMap> open() {
    FileDescriptor file(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    return file ? Result<PageMap>(PageMap(std::move(file)))
                : std::unexpected(Error::from_errno("cannot open /proc/self/pagemap", errno));
  }

  // Of the kSizeStep bytes at `start`, one entry a page.
  Result<std::vector<bool>> read(const std::byte* start) const {
    // Documentation/admin-guide/mm/pagemap.rst: bit 63 present, bit 62 swapped out.
    constexpr uint64_t kHasContents = uint64_t{3} << 62;
    std::vector<uint64_t> entries(kSizeStep / page_size());
    const size_t size = entries.size() * sizeof(uint64_t);
    const auto offset = reinterpret_cast<uintptr_t>(start) / page_size() * sizeof(uint64_t);
    const ssize_t done = ::pread(file_.get(), entries.data(), size, static_cast<off_t>(offset));
    if (done != static_cast<ssize_t>(size)) {
      return std::unexpected(
          Error::from_errno("cannot read /proc/self/pagemap", done < 0 ? errno : EIO));
    }
    std::vector<bool> result(entries.size());
    std::transform(entries.begin(), entries.end(), result.begin(),
                   [](uint64_t entry) { return (entry & kHasContents) != 0; });
    return result;
  }

 private:
  explicit PageMap(FileDescriptor file) : file_(std::move(file)) {}

  FileDescriptor file_;
};

bool is_zero(const std::byte* bytes, uint64_t size) {
  return bytes[0] == std::byte{} && std::memcmp(bytes, bytes + 1, size - 1) == 0;
}

// Copies kSizeStep bytes at `start` to `offset` in `file`: those pages that hold something.
Result<void> write_contents(const std::byte* start, const std::vector<bool>& has_contents, int file,
                            uint64_t offset) {
  const uint64_t page = page_size();
  for (size_t i = 0; i < has_contents.size(); ++i) {
    const std::byte* bytes = start + i * page;
    if (!has_contents[i] || is_zero(bytes, page)) {
      continue;
    }
    const ssize_t done = ::pwrite(file, bytes, page, static_cast<off_t>(offset + i * page));
    if (done != static_cast<ssize_t>(page)) {
      return std::unexpected(
          Error::from_errno("cannot copy guest memory to its memfd", done < 0 ? errno : ENOSPC));
    }
  }
  return {};
}

// Puts kSizeStep bytes at `start` into `file` at `offset`, and the file's pages in their place.
// After an error the memory is as it was.
Result<void> move_step(std::byte* start, const std::vector<bool>& has_contents, int file,
                       uint64_t offset) {
  auto moved = write_contents(start, has_contents, file, offset);
  if (moved &&
      ::mmap(start, kSizeStep, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, file,
             static_cast<off_t>(offset)) == MAP_FAILED) {
    moved = std::unexpected(Error::from_errno("cannot map guest memory", errno));
  }
  if (!moved) {
    ::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                kSizeStep);
    return moved;
  }
  ::madvise(start, kSizeStep, MADV_DONTDUMP);
  ::madvise(start, kSizeStep, MADV_DONTFORK);
  return {};
}

// Bytes of private copies in the mapping that starts at `address`.
Result<uint64_t> copied_bytes(const std::byte* address, uint64_t size) {
  const auto start = reinterpret_cast<uintptr_t>(address);
  std::ifstream maps("/proc/self/smaps");
  if (!maps) {
    return std::unexpected(Error::from_errno("cannot read /proc/self/smaps", errno));
  }
  uint64_t total = 0;
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long low = 0;
    unsigned long high = 0;
    unsigned long kib = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &low, &high) == 2) {
      inside = low >= start && low < start + size;
    } else if (inside && std::sscanf(line.c_str(), "Anonymous: %lu kB", &kib) == 1) {
      total += kib * 1024;
    }
  }
  return total;
}

}  // namespace

std::string lost_file_text(const std::string& name) {
  return name + " lost contents while the machine ran: it became shorter, or its disk failed";
}

Result<GuestMemory> GuestMemory::create(uint64_t size) {
  if (auto checked = check_size(size); !checked) {
    return std::unexpected(checked.error());
  }
  FileDescriptor file(::memfd_create("guest-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) {
    return std::unexpected(Error::from_errno("cannot create a memfd for guest memory", errno));
  }
  if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0) {
    return std::unexpected(
        Error::from_errno(fmt::format("cannot size guest memory to {} bytes", size), errno));
  }
  // A file that cannot shrink cannot fault the VMM.
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    return std::unexpected(Error::from_errno("cannot seal guest memory", errno));
  }
  return map_ram(std::move(file), size, true);
}

Result<GuestMemory> GuestMemory::clone(int memory_file, uint64_t size) {
  if (auto checked = check_size(size); !checked) {
    return std::unexpected(checked.error());
  }
  struct stat status = {};
  if (::fstat(memory_file, &status) != 0) {
    return std::unexpected(Error::from_errno("cannot inspect the memory to clone", errno));
  }
  if (static_cast<uint64_t>(status.st_size) != size) {
    return fail("the memory to clone holds {} bytes where {} were expected", status.st_size, size);
  }
  FileDescriptor file(::fcntl(memory_file, F_DUPFD_CLOEXEC, 0));
  if (!file) {
    return std::unexpected(Error::from_errno("cannot duplicate the memory to clone", errno));
  }
  return map_ram(std::move(file), size, false);
}

Result<GuestMemory> GuestMemory::map_ram(FileDescriptor memory_file, uint64_t size, bool shared) {
  GuestMemory memory;
  memory.memory_file_ = std::move(memory_file);
  memory.size_ = size;
  memory.shared_ = shared;
  memory.in_file_ = shared ? (size / 4 + kSizeStep - 1) / kSizeStep * kSizeStep : size;
  void* host = reserve_addresses(size);
  if (host == MAP_FAILED) {
    return std::unexpected(
        Error::from_errno(fmt::format("cannot map {} bytes of guest memory", size), errno));
  }
  auto* bytes = static_cast<std::byte*>(host);
  const uint64_t anonymous = size - memory.in_file_;
  if (::mmap(host, memory.in_file_, PROT_READ | PROT_WRITE,
             (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_NORESERVE | MAP_FIXED,
             memory.memory_file_.get(), 0) == MAP_FAILED ||
      (anonymous != 0 &&
       ::mmap(bytes + memory.in_file_, anonymous, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)) {
    const int error = errno;
    ::munmap(host, size);
    return std::unexpected(
        Error::from_errno(fmt::format("cannot map {} bytes of guest memory", size), error));
  }
  // A host without large pages does not mind.
  ::madvise(bytes + memory.in_file_, anonymous, MADV_HUGEPAGE);
  // Guest memory in a core dump or a child serves nobody.
  ::madvise(host, size, MADV_DONTDUMP);
  ::madvise(host, size, MADV_DONTFORK);

  const uint64_t low = std::min(size, kHoleStart);
  memory.slots_.push_back({.name = "memory below 3 GiB", .size = low, .host = bytes});
  if (size > low) {
    memory.slots_.push_back({.name = "memory above 4 GiB",
                             .guest_address = kHoleEnd,
                             .size = size - low,
                             .host = bytes + low});
  }
  return memory;
}

GuestMemory::GuestMemory(GuestMemory&& other) noexcept
    : memory_file_(std::move(other.memory_file_)),
      size_(std::exchange(other.size_, 0)),
      in_file_(other.in_file_),
      shared_(other.shared_),
      slots_(std::exchange(other.slots_, {})),
      file_loss_(std::move(other.file_loss_)),
      files_(std::exchange(other.files_, {})) {}

GuestMemory& GuestMemory::operator=(GuestMemory&& other) noexcept {
  std::swap(memory_file_, other.memory_file_);
  std::swap(size_, other.size_);
  std::swap(in_file_, other.in_file_);
  std::swap(shared_, other.shared_);
  std::swap(slots_, other.slots_);
  std::swap(file_loss_, other.file_loss_);
  std::swap(files_, other.files_);
  return *this;
}

GuestMemory::~GuestMemory() {
  for (const MemorySlot& slot : slots_) {
    if (!slot.read_only) {
      ::munmap(slot.host, slot.size);
    }
  }
}

Result<void> GuestMemory::map_file(std::string name, uint64_t guest_address, int fd,
                                   uint64_t file_size) {
  const uint64_t page = page_size();
  if (file_size == 0) {
    return fail("{} is empty and cannot be mapped", name);
  }
  if (guest_address % page != 0) {
    return fail("{} cannot be mapped at {:#x}, which is no multiple of {}", name, guest_address,
                page);
  }
  const uint64_t pages = file_size / page + (file_size % page != 0 ? 1 : 0);
  if (pages > (UINT64_MAX - guest_address) / page) {
    return fail("{} does not fit at {:#x}: it has {} bytes", name, guest_address, file_size);
  }
  MemorySlot slot{.name = std::move(name),
                  .guest_address = guest_address,
                  .size = pages * page,
                  .read_only = true};
  for (const MemorySlot& other : slots_) {
    if (overlap(slot, other)) {
      return fail("{} at {:#x} overlaps {}", slot.name, guest_address, other.name);
    }
  }
  if (!file_loss_) {
    auto event = EventFd::create();
    if (!event) {
      return std::unexpected(event.error());
    }
    file_loss_ = std::move(*event);
  }
  auto file = MappedFile::map(slot.name, fd, file_size, file_loss_->fd());
  if (!file) {
    return std::unexpected(file.error());
  }
  slot.host = file->data();
  files_.push_back(std::move(*file));
  slots_.push_back(std::move(slot));
  return {};
}

std::optional<int> GuestMemory::file_loss_event() const {
  return file_loss_ ? std::optional(file_loss_->fd()) : std::nullopt;
}

std::optional<std::string> GuestMemory::lost_file() const {
  const auto lost = std::ranges::find_if(files_, &MappedFile::lost);
  return lost != files_.end() ? std::optional(lost->name()) : std::nullopt;
}

Result<int> GuestMemory::gather() {
  if (!shared_) {
    return fail("the memory of a clone is not in one file");
  }
  if (in_file_ == size_) {
    return memory_file_.get();
  }
  const auto pages = PageMap::open();
  if (!pages) {
    return std::unexpected(pages.error());
  }
  // In steps, so that little is there twice.
  while (in_file_ != size_) {
    std::byte* const next = ram() + in_file_;
    const auto has_contents = pages->read(next);
    if (!has_contents) {
      return std::unexpected(has_contents.error());
    }
    if (auto moved = move_step(next, *has_contents, memory_file_.get(), in_file_); !moved) {
      return std::unexpected(moved.error());
    }
    in_file_ += kSizeStep;
  }
  return memory_file_.get();
}

Result<void> GuestMemory::discard(std::span<std::byte> bytes) const {
  // RAM is one piece of the host's addresses.
  const auto base = reinterpret_cast<uintptr_t>(ram());
  const auto start = reinterpret_cast<uintptr_t>(bytes.data());
  if (start < base || start - base > size_ || bytes.size() > size_ - (start - base)) {
    return fail("{} bytes that are not RAM cannot be given back to the host", bytes.size());
  }
  const uint64_t page = page_size();
  const uint64_t first = (start - base + page - 1) / page * page;
  const uint64_t end = (start - base + bytes.size()) / page * page;
  // Of a clone nothing is in a file that is its own.
  const uint64_t border = std::clamp(shared_ ? in_file_ : 0, std::min(first, end), end);
  if (first < border && ::madvise(ram() + first, border - first, MADV_REMOVE) != 0) {
    return std::unexpected(Error::from_errno("cannot give guest memory back", errno));
  }
  if (border < end && ::madvise(ram() + border, end - border, MADV_DONTNEED) != 0) {
    return std::unexpected(Error::from_errno("cannot give guest memory back", errno));
  }
  return {};
}

Result<uint64_t> GuestMemory::touched_bytes() const {
  if (!shared_) {
    return copied_bytes(ram(), size_);
  }
  struct stat status = {};
  if (::fstat(memory_file_.get(), &status) != 0) {
    return std::unexpected(Error::from_errno("cannot inspect guest memory", errno));
  }
  const auto in_file = static_cast<uint64_t>(status.st_blocks) * 512;
  if (in_file_ == size_) {
    return in_file;
  }
  const auto above = copied_bytes(ram() + in_file_, size_ - in_file_);
  return above ? Result<uint64_t>(in_file + *above) : above;
}

const MemorySlot* GuestMemory::find(uint64_t guest_address, uint64_t size) const {
  for (const MemorySlot& slot : slots_) {
    if (guest_address < slot.guest_address) {
      continue;
    }
    const uint64_t offset = guest_address - slot.guest_address;
    if (offset < slot.size && size <= slot.size - offset) {
      return &slot;
    }
  }
  return nullptr;
}

Result<std::span<const std::byte>> GuestMemory::readable_span(uint64_t guest_address,
                                                              uint64_t size) const {
  const MemorySlot* slot = find(guest_address, size);
  if (slot == nullptr) {
    return fail("{} bytes at guest address {:#x} are not in one piece of memory", size,
                guest_address);
  }
  return std::span<const std::byte>(slot->host + (guest_address - slot->guest_address), size);
}

Result<std::span<std::byte>> GuestMemory::writable_span(uint64_t guest_address,
                                                        uint64_t size) const {
  const MemorySlot* slot = find(guest_address, size);
  if (slot == nullptr) {
    return fail("{} bytes at guest address {:#x} are not in one piece of memory", size,
                guest_address);
  }
  if (slot->read_only) {
    return fail("guest address {:#x} lies in {}, which is read-only", guest_address, slot->name);
  }
  return std::span<std::byte>(slot->host + (guest_address - slot->guest_address), size);
}

Result<void> GuestMemory::read(uint64_t guest_address, std::span<std::byte> data) const {
  auto source = readable_span(guest_address, data.size());
  if (!source) {
    return std::unexpected(source.error());
  }
  if (!data.empty()) {
    std::memcpy(data.data(), source->data(), data.size());
  }
  return {};
}

Result<void> GuestMemory::write(uint64_t guest_address, std::span<const std::byte> data) const {
  auto target = writable_span(guest_address, data.size());
  if (!target) {
    return std::unexpected(target.error());
  }
  if (!data.empty()) {
    std::memcpy(target->data(), data.data(), data.size());
  }
  return {};
}

}  // namespace ensemble::vmm
