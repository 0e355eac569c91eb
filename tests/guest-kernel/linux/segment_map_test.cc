#include "guest-kernel/linux/server/segment_map.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <vector>

#include "guest-kernel/linux/server/memory_share.h"

namespace linux_server {
namespace {

constexpr std::uint64_t kPage = 4096;

Segment make(std::uint64_t start, std::uint64_t end, std::uint8_t protection = 3) {
  Segment segment;
  segment.start = start * kPage;
  segment.end = end * kPage;
  segment.protection = protection;
  return segment;
}

TEST(SegmentMapTest, FindsWhatHoldsAnAddress) {
  SegmentMap map;
  ASSERT_TRUE(map.insert(make(10, 20)));
  ASSERT_TRUE(map.insert(make(30, 40)));
  EXPECT_EQ(map.find(10 * kPage - 1), nullptr);
  ASSERT_NE(map.find(10 * kPage), nullptr);
  EXPECT_EQ(map.find(20 * kPage - 1)->start, 10 * kPage);
  EXPECT_EQ(map.find(20 * kPage), nullptr);
  EXPECT_EQ(map.find(35 * kPage)->start, 30 * kPage);
  EXPECT_EQ(map.find(~std::uint64_t{0}), nullptr);
}

TEST(SegmentMapTest, JoinsNeighboursThatContinueEachOther) {
  SegmentMap map;
  ASSERT_TRUE(map.insert(make(10, 20)));
  ASSERT_TRUE(map.insert(make(30, 40)));
  ASSERT_TRUE(map.insert(make(20, 30)));
  ASSERT_EQ(map.size(), 1u);
  EXPECT_EQ(map.begin()->end, 40 * kPage);
  ASSERT_TRUE(map.insert(make(40, 50, 1)));
  EXPECT_EQ(map.size(), 2u);
}

TEST(SegmentMapTest, KeepsBackingsApartThatDoNotContinue) {
  SegmentMap map;
  Segment first = make(10, 20);
  first.backing = Backing::kMemory;
  first.offset = 100 * kPage;
  Segment second = make(20, 30);
  second.backing = Backing::kMemory;
  second.offset = 110 * kPage;
  Segment third = make(30, 40);
  third.backing = Backing::kMemory;
  third.offset = 500 * kPage;
  ASSERT_TRUE(map.insert(third) && map.insert(first) && map.insert(second));
  ASSERT_EQ(map.size(), 2u);
  EXPECT_EQ(map.begin()->size(), 20 * kPage);
}

TEST(SegmentMapTest, SplitMovesOffsetsAlong) {
  SegmentMap map;
  Segment segment = make(10, 20);
  segment.backing = Backing::kMemory;
  segment.offset = 100 * kPage;
  segment.file_offset = 7 * kPage;
  ASSERT_TRUE(map.insert(segment));
  ASSERT_TRUE(map.split(13 * kPage, 15 * kPage));
  ASSERT_EQ(map.size(), 3u);
  EXPECT_EQ(map.at(1).offset, 103 * kPage);
  EXPECT_EQ(map.at(2).offset, 105 * kPage);
  EXPECT_EQ(map.at(2).file_offset, 12 * kPage);
  map.remove(13 * kPage, 15 * kPage);
  EXPECT_FALSE(map.covers(10 * kPage, 20 * kPage));
  EXPECT_TRUE(map.covers(15 * kPage, 20 * kPage));
  EXPECT_TRUE(map.is_free(13 * kPage, 15 * kPage));
  EXPECT_FALSE(map.is_free(12 * kPage, 15 * kPage));
}

TEST(SegmentMapTest, FindsTheHighestGap) {
  SegmentMap map;
  ASSERT_TRUE(map.insert(make(90, 95)));
  ASSERT_TRUE(map.insert(make(50, 80)));
  EXPECT_EQ(map.find_gap(5 * kPage, 16 * kPage, 100 * kPage, kPage), 95 * kPage);
  EXPECT_EQ(map.find_gap(6 * kPage, 16 * kPage, 100 * kPage, kPage), 84 * kPage);
  EXPECT_EQ(map.find_gap(11 * kPage, 16 * kPage, 100 * kPage, kPage), 39 * kPage);
  EXPECT_EQ(map.find_gap(34 * kPage, 16 * kPage, 100 * kPage, kPage), 16 * kPage);
  EXPECT_EQ(map.find_gap(35 * kPage, 16 * kPage, 100 * kPage, kPage), 0u);
  EXPECT_EQ(map.find_gap(5 * kPage, 16 * kPage, 100 * kPage, 8 * kPage), 80 * kPage);
  EXPECT_EQ(map.find_gap(5 * kPage, 16 * kPage, 93 * kPage, kPage), 85 * kPage);
  EXPECT_EQ(SegmentMap().find_gap(kPage, 16 * kPage, 100 * kPage, kPage), 99 * kPage);
}

// Against a plain map of pages.
TEST(SegmentMapTest, AgreesWithAMapOfPages) {
  std::mt19937 random(4711);
  SegmentMap map;
  std::map<std::uint64_t, std::uint8_t> pages;
  for (int step = 0; step < 5000; ++step) {
    const std::uint64_t start = random() % 200;
    const std::uint64_t end = start + 1 + random() % 20;
    if (random() % 2 == 0) {
      const auto protection = static_cast<std::uint8_t>(random() % 3);
      const bool is_free = pages.lower_bound(start) == pages.lower_bound(end);
      ASSERT_EQ(map.is_free(start * kPage, end * kPage), is_free);
      if (is_free) {
        ASSERT_TRUE(map.insert(make(start, end, protection)));
        for (std::uint64_t page = start; page < end; ++page) {
          pages[page] = protection;
        }
      }
    } else {
      ASSERT_TRUE(map.split(start * kPage, end * kPage));
      map.remove(start * kPage, end * kPage);
      pages.erase(pages.lower_bound(start), pages.lower_bound(end));
    }
    ASSERT_EQ(map.total_size(), pages.size() * kPage);
  }
  for (std::uint64_t page = 0; page < 240; ++page) {
    const Segment* segment = map.find(page * kPage);
    ASSERT_EQ(segment != nullptr, pages.contains(page));
    if (segment != nullptr) {
      EXPECT_EQ(segment->protection, pages[page]);
    }
  }
}

TEST(SegmentMapTest, ReplacesInPlaceAndJoins) {
  SegmentMap map;
  ASSERT_TRUE(map.insert(make(10, 20, 3)));
  ASSERT_TRUE(map.insert(make(20, 30, 1)));
  ASSERT_TRUE(map.insert(make(30, 40, 3)));
  ASSERT_TRUE(map.replace(make(20, 30, 5)));
  ASSERT_EQ(map.size(), 3u);
  EXPECT_EQ(map.find(20 * kPage)->protection, 5);
  ASSERT_TRUE(map.replace(make(22, 24, 3)));
  ASSERT_EQ(map.size(), 5u);
  EXPECT_EQ(map.find(24 * kPage)->protection, 5);
  ASSERT_TRUE(map.replace(make(22, 24, 5)));
  EXPECT_EQ(map.size(), 3u);
  ASSERT_TRUE(map.replace(make(20, 30, 3)));
  ASSERT_EQ(map.size(), 1u);
  EXPECT_EQ(map.begin()->end, 40 * kPage);
}

TEST(SegmentMapTest, ManySegmentsHaveAShareOfTheMemory) {
  // Of two protections in turn: nothing joins.
  const auto fill = [](SegmentMap& map, std::uint64_t count) {
    std::uint64_t page = 0;
    while (page < count &&
           map.insert(make(page, page + 1, static_cast<std::uint8_t>(1 + page % 2 * 2)))) {
      ++page;
    }
    return page;
  };
  constexpr std::uint64_t kFew = 1000;
  const std::uint64_t before = mappings_share.used();
  {
    std::vector<std::unique_ptr<SegmentMap>> maps;
    do {
      maps.push_back(std::make_unique<SegmentMap>());
      ASSERT_LT(maps.size(), 1000u);
    } while (fill(*maps.back(), 10 * kFew) == 10 * kFew);
    EXPECT_LE(mappings_share.used(), mappings_share.limit());
    EXPECT_GT(mappings_share.used(), mappings_share.limit() / 4);
    SegmentMap other;
    EXPECT_EQ(fill(other, kFew), kFew);
  }
  EXPECT_EQ(mappings_share.used(), before);
}

}  // namespace
}  // namespace linux_server
