#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "guest-kernel/lib/arena.h"
#include "guest-kernel/lib/byte_ring.h"
#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/fixed_vector.h"
#include "guest-kernel/lib/page_allocator.h"
#include "guest-kernel/lib/slot_allocator.h"

namespace guest {
namespace {

TEST(PageAllocator, AllocatesAlignedRunsAndReusesThem) {
  std::array<std::uint64_t, 4> bitmap{};
  PageAllocator pages(bitmap, 200);
  EXPECT_EQ(pages.free_pages(), 200u);
  EXPECT_EQ(pages.allocate(), 0u);
  EXPECT_EQ(pages.allocate(3, 16), 16u);
  EXPECT_EQ(pages.allocate(100), 19u);
  EXPECT_EQ(pages.allocate(15), 1u);
  EXPECT_EQ(pages.allocate(100), std::nullopt);
  EXPECT_EQ(pages.free_pages(), 81u);
  EXPECT_TRUE(pages.release(19, 100));
  EXPECT_FALSE(pages.release(19, 1));
  EXPECT_FALSE(pages.release(150, 100));
  EXPECT_EQ(pages.allocate(181), 19u);
  EXPECT_EQ(pages.allocate(), std::nullopt);
}

TEST(PageAllocator, RefusesNonsense) {
  std::array<std::uint64_t, 1> bitmap{};
  PageAllocator pages(bitmap, 1000);
  EXPECT_EQ(pages.total_pages(), 64u);
  EXPECT_EQ(pages.allocate(0), std::nullopt);
  EXPECT_EQ(pages.allocate(1, 3), std::nullopt);
  EXPECT_EQ(pages.allocate(~std::uint64_t{0}), std::nullopt);
  EXPECT_FALSE(pages.reserve(60, 5));
  EXPECT_TRUE(pages.reserve(60, 4));
  EXPECT_FALSE(pages.reserve(63, 1));
  EXPECT_FALSE(pages.release(~std::uint64_t{0}, 2));
}

// Against a plain list of booleans.
TEST(PageAllocator, AgreesWithAModel) {
  constexpr std::uint64_t kPages = 300;
  std::array<std::uint64_t, PageAllocator::words_for(kPages)> bitmap{};
  PageAllocator pages(bitmap, kPages);
  std::vector<bool> used(kPages);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> runs;
  std::mt19937 random(7);
  for (int step = 0; step < 20000; ++step) {
    if (runs.empty() || random() % 2 == 0) {
      const std::uint64_t count = 1 + random() % 40;
      if (const auto first = pages.allocate(count)) {
        for (std::uint64_t page = *first; page < *first + count; ++page) {
          ASSERT_FALSE(used.at(page));
          used[page] = true;
        }
        runs.emplace_back(*first, count);
      } else {
        std::uint64_t longest = 0;
        std::uint64_t run = 0;
        for (const bool taken : used) {
          run = taken ? 0 : run + 1;
          longest = std::max(longest, run);
        }
        ASSERT_LT(longest, count);
      }
    } else {
      const std::size_t index = random() % runs.size();
      ASSERT_TRUE(pages.release(runs[index].first, runs[index].second));
      std::fill_n(used.begin() + static_cast<std::ptrdiff_t>(runs[index].first), runs[index].second,
                  false);
      runs.erase(runs.begin() + static_cast<std::ptrdiff_t>(index));
    }
    ASSERT_EQ(pages.free_pages(),
              static_cast<std::uint64_t>(std::count(used.begin(), used.end(), false)));
  }
}

TEST(SlotAllocator, GivesEachSlotOnce) {
  SlotAllocator<128> slots(20, 100);
  std::set<Slot> seen;
  for (int i = 0; i < 80; ++i) {
    const Slot slot = slots.allocate();
    EXPECT_GE(slot, 20u);
    EXPECT_LT(slot, 100u);
    EXPECT_TRUE(seen.insert(slot).second);
  }
  EXPECT_EQ(slots.allocate(), kNoSlot);
  slots.release(55);
  slots.release(5);
  slots.release(1000);
  EXPECT_EQ(slots.allocate(), 55u);
  EXPECT_EQ(slots.allocate(), kNoSlot);
  SlotAllocator<64> none(10, 10);
  EXPECT_EQ(none.allocate(), kNoSlot);
}

TEST(Arena, StaysWithinItsRange) {
  alignas(64) std::array<std::byte, 1024> memory{};
  Arena arena(reinterpret_cast<std::uint64_t>(memory.data()), memory.size());
  EXPECT_NE(arena.allocate(1), nullptr);
  void* aligned = arena.allocate(64, 64);
  EXPECT_EQ(reinterpret_cast<std::uint64_t>(aligned) % 64, 0u);
  EXPECT_EQ(arena.allocate(2000), nullptr);
  EXPECT_EQ(arena.allocate(~std::uint64_t{0}), nullptr);
  EXPECT_TRUE(arena.make_array<std::uint64_t>(~std::size_t{0}).empty());
  EXPECT_EQ(arena.make_array<std::uint64_t>(4).size(), 4u);
}

TEST(Heap, ReusesWhatWasReleased) {
  alignas(64) std::array<std::byte, 4096> memory{};
  Heap heap(Arena(reinterpret_cast<std::uint64_t>(memory.data()), memory.size()));
  void* first = heap.allocate(100);
  ASSERT_NE(first, nullptr);
  heap.release(first, 100);
  EXPECT_EQ(heap.allocate(128), first);
  EXPECT_NE(heap.allocate(128), first);
  EXPECT_EQ(heap.allocate(40000), nullptr);
  std::size_t count = 0;
  while (heap.allocate(32) != nullptr) {
    ++count;
  }
  EXPECT_GT(count, 100u);
  heap.release(nullptr, 32);
  EXPECT_EQ(heap.allocate(32), nullptr);
}

TEST(FixedVector, RefusesWhatDoesNotFit) {
  FixedVector<int, 2> vector;
  EXPECT_TRUE(vector.empty());
  EXPECT_NE(vector.push_back(1), nullptr);
  EXPECT_NE(vector.push_back(2), nullptr);
  EXPECT_EQ(vector.push_back(3), nullptr);
  EXPECT_EQ(vector.size(), 2u);
  EXPECT_EQ(vector[1], 2);
}

constexpr std::size_t kRingSize = 256;

TEST(ByteRing, CarriesAllBytesInOrderAcrossThreads) {
  ByteRingHeader header{};
  std::array<std::byte, kRingSize> data{};
  constexpr std::size_t kTotal = 200'000;
  std::thread writer([&] {
    ByteRingProducer producer(header, data);
    std::array<std::byte, 37> piece;
    for (std::size_t sent = 0; sent < kTotal;) {
      const std::size_t size = std::min(piece.size(), kTotal - sent);
      for (std::size_t i = 0; i < size; ++i) {
        piece[i] = static_cast<std::byte>((sent + i) * 31);
      }
      sent += producer.write(std::span(piece).first(size));
    }
  });
  ByteRingConsumer consumer(header, data);
  std::array<std::byte, 53> piece;
  std::size_t wrong = 0;
  for (std::size_t received = 0; received < kTotal;) {
    const std::size_t count = consumer.read(piece);
    for (std::size_t i = 0; i < count; ++i) {
      wrong += piece[i] != static_cast<std::byte>((received + i) * 31) ? 1 : 0;
    }
    received += count;
  }
  writer.join();
  EXPECT_EQ(wrong, 0u);
}

TEST(ByteRing, OwesOneSignalPerWait) {
  ByteRingHeader header{};
  std::array<std::byte, kRingSize> data{};
  ByteRingProducer producer(header, data);
  ByteRingConsumer consumer(header, data);
  const std::array<std::byte, 10> bytes{};
  EXPECT_FALSE(producer.consumer_waits());
  EXPECT_TRUE(consumer.wait_for_bytes());
  EXPECT_EQ(producer.write(bytes), 10u);
  EXPECT_TRUE(producer.consumer_waits());
  EXPECT_FALSE(producer.consumer_waits());
  EXPECT_FALSE(consumer.wait_for_bytes());
  EXPECT_TRUE(consumer.wait_for_bytes(10));
  const std::vector<std::byte> many(1000);
  EXPECT_EQ(producer.write(many), kRingSize - 10);
  EXPECT_TRUE(producer.wait_for_room());
  consumer.consume(1);
  EXPECT_TRUE(consumer.producer_waits());
  EXPECT_FALSE(consumer.producer_waits());
  EXPECT_FALSE(producer.wait_for_room());
}

TEST(ByteRing, SurvivesAHostilePeer) {
  ByteRingHeader header{};
  std::array<std::byte, kRingSize> data{};
  ByteRingConsumer consumer(header, data);
  ByteRingProducer producer(header, data);
  std::array<std::byte, 1000> bytes{};
  for (const std::uint32_t nonsense : {257u, 0x8000'0000u}) {
    header.written = nonsense;
    EXPECT_EQ(consumer.available(), 0u);
    EXPECT_EQ(consumer.read(bytes), 0u);
    header.read = nonsense;
    EXPECT_EQ(producer.room(), 0u);
    EXPECT_EQ(producer.write(bytes), 0u);
  }
  header.written = 100;
  EXPECT_EQ(consumer.read(bytes), 100u);
}

TEST(Clock, ConvertsBothWays) {
  abi::TimePage page{};
  page.tsc_base = 1'000'000;
  page.tsc_frequency = 2'445'430'000;
  page.shift = 32;
  page.multiplier = (std::uint64_t{1'000'000'000} << 32) / page.tsc_frequency;
  EXPECT_EQ(monotonic_ns(page, page.tsc_base), 0u);
  // A day later, within a millisecond.
  const std::uint64_t day = 86'400;
  const std::uint64_t ns = monotonic_ns(page, page.tsc_base + day * page.tsc_frequency);
  EXPECT_NEAR(static_cast<double>(ns), static_cast<double>(day) * 1e9, 1e6);
  EXPECT_EQ(tsc_at(page, 0), page.tsc_base);
  EXPECT_EQ(tsc_at(page, day * 1'000'000'000), page.tsc_base + day * page.tsc_frequency);
  EXPECT_GE(monotonic_ns(page, tsc_at(page, 123'456'789)) + 1, 123'456'789u);
}

}  // namespace
}  // namespace guest
