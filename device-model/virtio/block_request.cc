#include "device-model/virtio/block_request.h"

#include <algorithm>
#include <cstring>

namespace ensemble::device {
namespace {

// struct virtio_blk_req's header.
struct Header {
  std::uint32_t type;
  std::uint32_t reserved;
  std::uint64_t sector;
};

// struct virtio_blk_discard_write_zeroes.
struct RawSegment {
  std::uint64_t sector;
  std::uint32_t sectors;
  std::uint32_t flags;
};

// Request types.
constexpr std::uint32_t kIn = 0;
constexpr std::uint32_t kOut = 1;
constexpr std::uint32_t kFlushCache = 4;
constexpr std::uint32_t kGetIdentity = 8;
constexpr std::uint32_t kDiscardRange = 11;
constexpr std::uint32_t kWriteZeroesRange = 13;

constexpr std::uint32_t kUnmap = 1;
constexpr std::size_t kIdentityBytes = 20;

// Bytes [offset, offset + size) of `buffers`, as vectors for preadv and pwritev.
template <typename Buffers>
std::vector<iovec> slice(const Buffers& buffers, std::uint64_t offset, std::uint64_t size) {
  std::vector<iovec> vectors;
  for (const auto& buffer : buffers) {
    const std::uint64_t skip = std::min<std::uint64_t>(offset, buffer.size());
    const std::uint64_t piece = std::min<std::uint64_t>(size, buffer.size() - skip);
    offset -= skip;
    size -= piece;
    if (piece > 0) {
      vectors.push_back(
          {.iov_base = const_cast<std::byte*>(buffer.data() + skip), .iov_len = piece});
    }
  }
  return vectors;
}

// Whether [sector, sector + sectors) lies on a disk of `capacity` sectors.
bool lies_within(std::uint64_t sector, std::uint64_t sectors, std::uint64_t capacity) {
  return sectors <= capacity && sector <= capacity - sectors;
}

}  // namespace

Result<BlockRequest> BlockRequest::parse(vmm::DescriptorChain chain, const DiskFile& disk) {
  if (chain.writable_size() == 0) {
    return fail("a block request without a byte for its status");
  }
  BlockRequest request(std::move(chain));
  request.data_size_ = request.chain_.writable_size() - 1;
  Header header = {};
  if (request.chain_.read(0, std::as_writable_bytes(std::span(&header, 1))) != sizeof(header)) {
    request.status_ = BlockStatus::kIoError;
    return request;
  }
  switch (header.type) {
    case kIn:
      request.parse_transfer(disk, header.sector, Operation::kRead);
      break;
    case kOut:
      request.parse_transfer(disk, header.sector, Operation::kWrite);
      break;
    case kFlushCache:
      request.operation_ = Operation::kFlush;
      break;
    case kGetIdentity:
      request.operation_ = Operation::kGetId;
      break;
    case kDiscardRange:
      request.parse_segments(disk, Operation::kDiscard);
      break;
    case kWriteZeroesRange:
      request.parse_segments(disk, Operation::kWriteZeroes);
      break;
    default:
      request.status_ = BlockStatus::kUnsupported;
      break;
  }
  return request;
}

void BlockRequest::parse_transfer(const DiskFile& disk, std::uint64_t sector, Operation operation) {
  const bool reads = operation == Operation::kRead;
  const std::uint64_t size = reads ? data_size_ : chain_.readable_size() - sizeof(Header);
  if ((!reads && disk.read_only()) || size % DiskFile::kSectorBytes != 0 ||
      !lies_within(sector, size / DiskFile::kSectorBytes, disk.sectors())) {
    status_ = BlockStatus::kIoError;
    return;
  }
  operation_ = operation;
  offset_ = sector * DiskFile::kSectorBytes;
  buffers_ =
      reads ? slice(chain_.writable(), 0, size) : slice(chain_.readable(), sizeof(Header), size);
}

void BlockRequest::parse_segments(const DiskFile& disk, Operation operation) {
  const std::size_t size = chain_.readable_size() - sizeof(Header);
  const std::size_t count = size / sizeof(RawSegment);
  status_ = BlockStatus::kIoError;
  if (disk.read_only() || size % sizeof(RawSegment) != 0 || count == 0 ||
      count > kMostDiscardSegments) {
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    RawSegment raw = {};
    chain_.read(sizeof(Header) + i * sizeof(raw), std::as_writable_bytes(std::span(&raw, 1)));
    const std::uint32_t allowed = operation == Operation::kWriteZeroes ? kUnmap : 0;
    if ((raw.flags & ~allowed) != 0) {
      status_ = BlockStatus::kUnsupported;
      return;
    }
    if (raw.sectors > kMostDiscardSectors ||
        !lies_within(raw.sector, raw.sectors, disk.sectors())) {
      return;
    }
    if (raw.sectors > 0) {
      segments_.push_back({.offset = raw.sector * DiskFile::kSectorBytes,
                           .size = std::uint64_t{raw.sectors} * DiskFile::kSectorBytes,
                           .may_discard = (raw.flags & kUnmap) != 0});
    }
  }
  operation_ = operation;
  status_ = BlockStatus::kOk;
}

void BlockRequest::run(const DiskFile& disk, const std::string& serial,
                       const std::atomic<bool>& cancelled) {
  identity_ = serial;
  if (status_ == BlockStatus::kOk) {
    status_ = run_operation(disk, cancelled);
  }
}

BlockStatus BlockRequest::run_operation(const DiskFile& disk, const std::atomic<bool>& cancelled) {
  Result<void> done;
  switch (operation_) {
    case Operation::kNothing:
    case Operation::kGetId:
      break;
    case Operation::kRead:
      done = disk.read(offset_, buffers_, cancelled);
      break;
    case Operation::kWrite:
      done = disk.write(offset_, buffers_, cancelled);
      break;
    case Operation::kFlush:
      done = disk.flush();
      break;
    case Operation::kDiscard:
    case Operation::kWriteZeroes:
      for (const Segment& segment : segments_) {
        done = operation_ == Operation::kDiscard
                   ? disk.discard(segment.offset, segment.size)
                   : disk.write_zeroes(segment.offset, segment.size, segment.may_discard);
        if (!done) {
          break;
        }
      }
      break;
  }
  return done ? BlockStatus::kOk : BlockStatus::kIoError;
}

std::uint32_t BlockRequest::finish() {
  std::uint32_t written = 0;
  if (operation_ == Operation::kRead && status_ == BlockStatus::kOk) {
    written = data_size_;
  } else if (operation_ == Operation::kGetId && status_ == BlockStatus::kOk) {
    identity_.resize(std::min<std::size_t>(kIdentityBytes, data_size_));
    written = static_cast<std::uint32_t>(chain_.write(0, std::as_bytes(std::span(identity_))));
  }
  const auto status = static_cast<std::byte>(status_);
  chain_.write(data_size_, std::span(&status, 1));
  // The status byte is the last one; the length counts up to it only if all before it was written.
  return written == data_size_ ? written + 1 : written;
}

}  // namespace ensemble::device
