#include "page_table.h"

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/nucleus/kernel_memory.h"
#include "instructions.h"

extern "C" {
// boot.S and nucleus.ld
extern std::uint64_t boot_page_table[512];
extern std::uint64_t boot_identity_table[512];
extern std::uint64_t direct_map_middle[1024];
extern std::uint64_t pool_window_top[512];
extern std::uint64_t pool_window_table[512];
extern std::uint64_t kernel_image_table[512];
extern std::uint64_t shared_top_table[512];
extern std::uint64_t shared_leaf_table[512];
extern char kernel_text_start[], kernel_text_end[], kernel_data_start[], kernel_end[];
extern char entry_page[], time_page[];
}

namespace nucleus {

// The table pages of a domain, so that ending it does not search for them.
struct TableLedger {
  static constexpr unsigned kEntries = 62;
  TableLedger* next;
  std::uint64_t count;
  std::uint64_t tables[kEntries];
};

namespace {

using abi::kLargePageSize;
using abi::kPageSize;
using abi::Status;

constexpr std::uint64_t kPresent = 1;
constexpr std::uint64_t kWritable = 2;
constexpr std::uint64_t kUser = 4;
constexpr std::uint64_t kUncached = 0x18;  // PCD | PWT
constexpr std::uint64_t kLarge = 0x80;
// Ignored by the processor: the most that protect_range() may give.
constexpr std::uint64_t kMayWrite = 1 << 9;
constexpr std::uint64_t kMayExecute = 1 << 10;
constexpr std::uint64_t kMapped = 1 << 11;  // a mapping, though it may grant no access just now
constexpr std::uint64_t kNoExecute = std::uint64_t{1} << 63;
constexpr std::uint64_t kDirectorySize = kLargePageSize << 9;  // what a table of large pages maps
constexpr std::uint64_t kAddressMask = 0x000f'ffff'ffff'f000;
constexpr std::uint64_t kKernelBase = 0xffff'ffff'8000'0000;
constexpr unsigned kTopKernelImage = 511;
constexpr unsigned kTopDirectMap = 256;
constexpr unsigned kTopShared = (abi::kSharedStart >> 39) & 511;

std::uint64_t image_address(const void* pointer) {
  return reinterpret_cast<std::uint64_t>(pointer) - kKernelBase;
}

unsigned table_index(std::uint64_t address, unsigned level) {
  return (address >> (12 + 9 * level)) & 511;
}

std::uint64_t entry_flags(Protection protection) {
  std::uint64_t flags = kMapped;
  flags |= protection.rights != 0 ? kPresent | kUser : 0;
  flags |= (protection.rights & abi::kRightWrite) != 0 ? kWritable : 0;
  flags |= (protection.rights & abi::kRightExecute) != 0 ? 0 : kNoExecute;
  flags |= (protection.maximum & abi::kRightWrite) != 0 ? kMayWrite : 0;
  flags |= (protection.maximum & abi::kRightExecute) != 0 ? kMayExecute : 0;
  flags |= protection.device ? kUncached : 0;
  return flags;
}

bool record_table(Domain& domain, std::uint64_t table) {
  if (domain.tables == nullptr || domain.tables->count == TableLedger::kEntries) {
    auto* ledger = static_cast<TableLedger*>(allocate_charged(domain, sizeof(TableLedger)));
    if (ledger == nullptr) {
      return false;
    }
    ledger->next = domain.tables;
    domain.tables = ledger;
  }
  domain.tables->tables[domain.tables->count++] = table;
  ++domain.table_count;
  return true;
}

// One of many domains that share a quota may take this part of it for tables.
constexpr std::uint64_t kTableShare = 4;

std::uint64_t* allocate_table(Domain& domain) {
  if (domain.spare_table != 0) {
    auto* spare = physical_pointer<std::uint64_t>(domain.spare_table);
    domain.spare_table = spare[0];
    spare[0] = 0;
    return spare;
  }
  if (domain.shares_quota &&
      domain.table_count * kPageSize >= account_of(domain).quota_total / kTableShare) {
    return nullptr;
  }
  auto* table = static_cast<std::uint64_t*>(allocate_charged(domain, kPageSize));
  if (table != nullptr && !record_table(domain, physical_address(table))) {
    free_charged(domain, table, kPageSize);
    return nullptr;
  }
  return table;
}

// Turns a large mapping into 512 small ones that map the same.
bool split_large(Domain& domain, std::uint64_t& entry) {
  std::uint64_t* table = allocate_table(domain);
  if (table == nullptr) {
    return false;
  }
  const std::uint64_t small = entry & ~kLarge;
  for (unsigned i = 0; i < 512; ++i) {
    table[i] = small + i * kPageSize;
  }
  entry = physical_address(table) | kPresent | kWritable | kUser;
  return true;
}

bool is_table(std::uint64_t entry) {
  return (entry & (kPresent | kMapped)) == kPresent;
}

// The table of `level` (0: 4 KiB pages, 1: 2 MiB) that holds the entry for `address`, made where it
// is missing if `create`. nullptr: missing, or no memory. A large mapping on the way is split.
std::uint64_t* find_table(Domain& domain, std::uint64_t address, unsigned level, bool create) {
  auto* table = physical_pointer<std::uint64_t>(domain.page_table);
  for (unsigned at = 3; at > level; --at) {
    std::uint64_t& entry = table[table_index(address, at)];
    if (!is_table(entry)) {
      if ((entry & kMapped) != 0) {
        if (!split_large(domain, entry)) {
          return nullptr;
        }
      } else {
        std::uint64_t* next = create ? allocate_table(domain) : nullptr;
        if (next == nullptr) {
          return nullptr;
        }
        entry = physical_address(next) | kPresent | kWritable | kUser;
      }
    }
    table = physical_pointer<std::uint64_t>(entry & kAddressMask);
  }
  return table;
}

// The entry of the 2 MiB around `address`, or nullptr where no table reaches it.
std::uint64_t* find_large_entry(Domain& domain, std::uint64_t address) {
  std::uint64_t* table = find_table(domain, address, 1, false);
  return table != nullptr ? &table[table_index(address, 1)] : nullptr;
}

// Calls `change(first, last)` for the entries of the range, those of a table at a time; a large
// mapping that the range covers is one. After it, `changed_all(entry)` for a table of which the
// range covers all.
template <typename Change, typename ChangedAll>
Status for_each_run(Domain& domain, std::uint64_t address, std::uint64_t size, Change change,
                    ChangedAll changed_all) {
  const std::uint64_t end = address + size;
  Status status = Status::kOk;
  const auto* top = physical_pointer<const std::uint64_t>(domain.page_table);
  while (address < end) {
    constexpr std::uint64_t kTopPart = std::uint64_t{1} << 39;
    if (top[table_index(address, 3)] == 0) {
      address = (address + kTopPart) & ~(kTopPart - 1);
      continue;
    }
    const std::uint64_t next_large = (address + kLargePageSize) & ~(kLargePageSize - 1);
    const std::uint64_t stop = next_large < end ? next_large : end;
    std::uint64_t* large = find_large_entry(domain, address);
    if (large == nullptr || *large == 0) {
      // Nothing is mapped here. Skip what no table covers at all.
      address = large == nullptr ? (address + (kLargePageSize << 9)) & ~((kLargePageSize << 9) - 1)
                                 : stop;
      continue;
    }
    if (!is_table(*large) && stop - address == kLargePageSize) {
      change(large, large + 1);
      address = stop;
      continue;
    }
    std::uint64_t* table = find_table(domain, address, 0, false);
    if (table == nullptr) {
      // No quota to split the large page. Taking memory away must not depend on that: all of it
      // goes.
      change(large, large + 1);
      status = Status::kNoMemory;
      address = stop;
      continue;
    }
    std::uint64_t* const first = &table[table_index(address, 0)];
    change(first, first + (stop - address) / kPageSize);
    if (stop - address == kLargePageSize) {
      changed_all(*large);
    }
    address = stop;
  }
  return status;
}

}  // namespace

std::uint64_t kernel_page_table() {
  return image_address(boot_page_table);
}
std::uint64_t entry_page_address() {
  return image_address(entry_page);
}
std::uint64_t time_page_address() {
  return image_address(time_page);
}

void protect_kernel_image() {
  const auto set = [](const char* start, const char* end, std::uint64_t flags) {
    for (std::uint64_t page = image_address(start); page < image_address(end); page += kPageSize) {
      kernel_image_table[page / kPageSize] = page | flags;
    }
  };
  set(kernel_text_start, kernel_text_end, kPresent);
  set(kernel_text_end, kernel_data_start, kPresent | kNoExecute);
  set(kernel_data_start, kernel_end, kPresent | kWritable | kNoExecute);
  shared_leaf_table[0] = entry_page_address() | kPresent | kUser;
  shared_leaf_table[1] = time_page_address() | kPresent | kUser | kNoExecute;
  // From here on the image is mapped page by page; the identity mapping has done its work.
  const auto image_directory = physical_pointer<std::uint64_t>(
      physical_pointer<std::uint64_t>(boot_page_table[kTopKernelImage] & kAddressMask)[510] &
      kAddressMask);
  image_directory[0] = image_address(kernel_image_table) | kPresent | kWritable;
  boot_page_table[0] = 0;
}

bool map_physical(std::uint64_t address, std::uint64_t size) {
  constexpr std::uint64_t kEnd = 3 * kDirectMapSize;
  if (size > kEnd || address > kEnd - size) {
    return false;
  }
  for (std::uint64_t page = address & ~(kLargePageSize - 1); page < address + size;
       page += kLargePageSize) {
    if (page >= kDirectMapSize) {
      direct_map_middle[(page - kDirectMapSize) / kLargePageSize] =
          page | kPresent | kWritable | kLarge | kNoExecute;
    }
  }
  return true;
}

void open_pool_window(std::uint64_t begin, std::uint64_t end) {
  constexpr std::uint64_t kTable = kPresent | kWritable | kUser;
  for (std::uint64_t page = begin & ~(kLargePageSize - 1); page < end; page += kLargePageSize) {
    pool_window_table[page / kLargePageSize] =
        page | kPresent | kWritable | kUser | kLarge | kNoExecute;
  }
  pool_window_top[0] = image_address(pool_window_table) | kTable;
  boot_page_table[table_index(kPoolWindow, 3)] = image_address(pool_window_top) | kTable;
}

void map_trampoline(std::uint64_t page, bool mapped) {
  // The boot's identity mapping leads to the kernel image's directory, so to its table by now.
  kernel_image_table[page / kPageSize] = mapped ? page | kPresent : 0;
  boot_page_table[0] = mapped ? image_address(boot_identity_table) | kPresent | kWritable : 0;
}

bool create_page_table(Domain& domain) {
  std::uint64_t* top = allocate_table(domain);
  if (top == nullptr) {
    return false;
  }
  top[kTopKernelImage] = boot_page_table[kTopKernelImage];
  top[kTopDirectMap] = boot_page_table[kTopDirectMap];
  top[kTopShared] = image_address(shared_top_table) | kPresent | kUser;
  domain.page_table = physical_address(top);
  return true;
}

void destroy_page_table(Domain& domain) {
  while (TableLedger* ledger = domain.tables) {
    for (std::uint64_t i = 0; i < ledger->count; ++i) {
      free_charged(domain, physical_pointer(ledger->tables[i]), kPageSize);
    }
    domain.tables = ledger->next;
    free_charged(domain, ledger, sizeof(TableLedger));
  }
  domain.page_table = 0;
  domain.table_count = 0;
  domain.spare_table = 0;
}

Status map_range(Domain& domain, std::uint64_t address, std::uint64_t physical, std::uint64_t size,
                 Protection protection, bool& changed) {
  const std::uint64_t flags = entry_flags(protection);
  const std::uint64_t end = address + size;
  while (address < end) {
    const bool large =
        ((address | physical) & (kLargePageSize - 1)) == 0 && end - address >= kLargePageSize;
    if (large) {
      std::uint64_t* table = find_table(domain, address, 1, true);
      if (table == nullptr) {
        return Status::kNoMemory;
      }
      // All that this table holds, as below: a root file system has hundreds of large pages.
      const std::uint64_t next = (address + kDirectorySize) & ~(kDirectorySize - 1);
      const std::uint64_t stop = (next < end ? next : end) & ~(kLargePageSize - 1);
      std::uint64_t* const first = &table[table_index(address, 1)];
      const std::uint64_t* const last = first + (stop - address) / kLargePageSize;
      std::uint64_t* entry = first;
      std::uint64_t value = physical | flags | kLarge;
      std::uint64_t previous = 0;
      while (entry != last && !is_table(*entry)) {
        previous |= *entry;
        *entry++ = value;
        value += kLargePageSize;
      }
      changed |= (previous & kPresent) != 0;
      const std::uint64_t done = static_cast<std::uint64_t>(entry - first) * kLargePageSize;
      address += done;
      physical += done;
      if (done != 0) {
        continue;
      }
    }
    std::uint64_t* table = find_table(domain, address, 0, true);
    if (table == nullptr) {
      return Status::kNoMemory;
    }
    const std::uint64_t next_table = (address + kLargePageSize) & ~(kLargePageSize - 1);
    const std::uint64_t stop = next_table < end ? next_table : end;
    // The loop that mapping much memory spends its time in.
    std::uint64_t* entry = &table[table_index(address, 0)];
    const std::uint64_t* const last = entry + (stop - address) / kPageSize;
    std::uint64_t value = physical | flags;
    changed |= any_nonzero(entry, static_cast<std::uint64_t>(last - entry));
    // Four at a time: where each instruction is interpreted, so are those that only count.
    for (; last - entry >= 4; entry += 4, value += 4 * kPageSize) {
      entry[0] = value;
      entry[1] = value + kPageSize;
      entry[2] = value + 2 * kPageSize;
      entry[3] = value + 3 * kPageSize;
    }
    for (; entry != last; ++entry, value += kPageSize) {
      *entry = value;
    }
    physical += stop - address;
    address = stop;
  }
  return Status::kOk;
}

Status unmap_range(Domain& domain, std::uint64_t address, std::uint64_t size, bool& changed) {
  const auto clear = [&](std::uint64_t* entry, const std::uint64_t* last) {
    const auto count = static_cast<std::uint64_t>(last - entry);
    if (any_nonzero(entry, count)) {
      changed = true;
      clear_words(entry, count);
    }
  };
  const auto keep_table = [&](std::uint64_t& entry) {
    // Its translation may be cached: it is not used again before the caller has flushed.
    changed = true;
    const std::uint64_t table = entry & kAddressMask;
    entry = 0;
    physical_pointer<std::uint64_t>(table)[0] = domain.spare_table;
    domain.spare_table = table;
  };
  return for_each_run(domain, address, size, clear, keep_table);
}

Status protect_range(Domain& domain, std::uint64_t address, std::uint64_t size,
                     std::uint64_t rights, bool& changed) {
  bool refused = false;
  const auto change = [&](std::uint64_t& entry) {
    const std::uint64_t maximum = abi::kRightRead |
                                  ((entry & kMayWrite) != 0 ? abi::kRightWrite : 0) |
                                  ((entry & kMayExecute) != 0 ? abi::kRightExecute : 0);
    if ((rights & ~maximum) != 0) {
      refused = true;
      return;
    }
    const std::uint64_t kept =
        entry & (kAddressMask | kUncached | kMayWrite | kMayExecute | kLarge);
    const std::uint64_t value =
        kept | entry_flags({.rights = rights, .maximum = 0, .device = false});
    changed |= (entry & kPresent) != 0 && value != entry;
    entry = value;
  };
  const Status status = for_each_run(
      domain, address, size,
      [&](std::uint64_t* entry, const std::uint64_t* last) {
        for (; entry != last; ++entry) {
          if (*entry != 0) {
            change(*entry);
          }
        }
      },
      [](std::uint64_t& /*entry*/) {});
  return status != Status::kOk ? status : refused ? Status::kNoRight : Status::kOk;
}

}  // namespace nucleus
