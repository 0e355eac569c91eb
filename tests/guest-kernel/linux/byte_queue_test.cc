#include "guest-kernel/linux/server/ipc/byte_queue.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <string>

#include "guest-kernel/linux/server/memory_share.h"

namespace linux_server {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

TEST(ByteQueueTest, GivesBackInOrder) {
  ByteQueue queue(8192);
  EXPECT_EQ(queue.write(bytes_of("hello")), 5u);
  EXPECT_EQ(queue.size(), 5u);
  EXPECT_EQ(queue.room(), 8187u);
  std::string text(3, '?');
  EXPECT_EQ(queue.read(std::as_writable_bytes(std::span(text))), 3u);
  EXPECT_EQ(text, "hel");
  queue.clear();
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(queue.piece().empty());
}

TEST(ByteQueueTest, HoldsItsCapacityWhereverItStarts) {
  for (const std::size_t start : {0u, 1u, 4095u, 4097u}) {
    ByteQueue queue(8192);
    EXPECT_EQ(queue.write(bytes_of(std::string(start + 1, 'x'))), start + 1);
    queue.consume(start);
    EXPECT_EQ(queue.write(bytes_of(std::string(9000, 'y'))), 8191u);
    EXPECT_EQ(queue.room(), 0u);
    EXPECT_TRUE(queue.free_piece().empty());
  }
}

TEST(ByteQueueTest, ChangesItsCapacity) {
  ByteQueue queue(4096);
  queue.write(bytes_of(std::string(4000, 'a')));
  queue.consume(3000);
  queue.write(bytes_of(std::string(2000, 'b')));
  EXPECT_TRUE(queue.set_capacity(65536));
  EXPECT_EQ(queue.write(bytes_of(std::string(50000, 'c'))), 50000u);
  EXPECT_FALSE(queue.set_capacity(4096));
  std::string text(53000, '?');
  EXPECT_EQ(queue.read(std::as_writable_bytes(std::span(text))), 53000u);
  EXPECT_EQ(text, std::string(1000, 'a') + std::string(2000, 'b') + std::string(50000, 'c'));
  EXPECT_TRUE(queue.set_capacity(4096));
}

TEST(ByteQueueTest, BehavesAsAPlainQueue) {
  std::mt19937 random(7);
  ByteQueue queue(16384);
  std::deque<char> model;
  char next = 0;
  for (int step = 0; step < 20000; ++step) {
    const std::size_t count = random() % 6000;
    switch (random() % 8) {
      case 0: {
        const std::size_t capacity = (random() % 8 + 1) * 4096;
        EXPECT_EQ(queue.set_capacity(capacity), capacity >= model.size());
        break;
      }
      case 1:
      case 2:
      case 3: {
        std::string text(count, 0);
        for (char& byte : text) {
          byte = next++;
        }
        const std::size_t written = queue.write(bytes_of(text));
        model.insert(model.end(), text.begin(), text.begin() + static_cast<long>(written));
        next = static_cast<char>(next - static_cast<char>(count - written));
        EXPECT_TRUE(written == count || queue.room() == 0);
        break;
      }
      default: {
        std::string text(count, 0);
        text.resize(queue.read(std::as_writable_bytes(std::span(text))));
        ASSERT_EQ(text.size(), std::min(count, model.size()));
        ASSERT_TRUE(std::equal(text.begin(), text.end(), model.begin()));
        model.erase(model.begin(), model.begin() + static_cast<long>(text.size()));
      }
    }
    ASSERT_EQ(queue.size(), model.size());
  }
}

TEST(ByteQueueTest, HasAPageWhereAllOthersAreTaken) {
  const std::uint64_t rest = queues_share.limit() - queues_share.used();
  ASSERT_TRUE(queues_share.take(rest));
  ByteQueue queue(16384);
  EXPECT_EQ(queue.room(), 4096u);
  EXPECT_EQ(queue.write(bytes_of(std::string(5000, 'x'))), 4096u);
  EXPECT_EQ(queue.room(), 0u);
  queue.consume(100);
  EXPECT_EQ(queue.room(), 0u);
  queue.clear();
  EXPECT_EQ(queue.room(), 4096u);
  EXPECT_EQ(queue.write(bytes_of("more")), 4u);
  EXPECT_EQ(queue.room(), 4092u);
  queues_share.give_back(rest);
  EXPECT_EQ(queue.room(), 16380u);
}

TEST(ByteQueueTest, GivesBackWhatItTook) {
  const std::uint64_t before = queues_share.used();
  {
    ByteQueue queue(65536);
    EXPECT_EQ(queue.write(bytes_of(std::string(65536, 'x'))), 65536u);
    EXPECT_EQ(queues_share.used(), before + 65536);
  }
  EXPECT_EQ(queues_share.used(), before);
}

}  // namespace
}  // namespace linux_server
