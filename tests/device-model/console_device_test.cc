#include "device-model/virtio/console_device.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "temporary_folder.h"
#include "virtio_harness.h"
#include "vmm/file_descriptor.h"

namespace ensemble::device {
namespace {

using Harness = VirtioHarness;
using vmm::FileDescriptor;

struct Pipe {
  FileDescriptor read_end;
  FileDescriptor write_end;
};

Pipe make_pipe() {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

void put(const FileDescriptor& file, const std::string& text) {
  ASSERT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

// What can be read without waiting.
std::string take(const FileDescriptor& file, std::size_t most = 1 << 20) {
  ::fcntl(file.get(), F_SETFL, O_NONBLOCK);
  std::string text(most, '\0');
  const ssize_t got = ::read(file.get(), text.data(), text.size());
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

class ConsoleDeviceTest : public testing::Test {
 protected:
  // A console on the far ends of two pipes.
  void make_console(FileConsoleBackend::Options options = {}) {
    make_console(input_.read_end.get(), output_.write_end.get(), std::move(options));
  }

  void make_console(int input, int output, FileConsoleBackend::Options options) {
    auto backend = FileConsoleBackend::create(harness_.loop(), input, output, std::move(options));
    ASSERT_TRUE(backend) << backend.error().message();
    backend_ = backend->get();
    auto console = std::make_unique<ConsoleDevice>(*std::move(backend));
    console_ = console.get();
    harness_.attach(std::move(console));
    harness_.start();
  }

  vmm::DriverQueue& receive() { return harness_.queue(ConsoleDevice::kReceiveQueue); }
  vmm::DriverQueue& transmit() { return harness_.queue(ConsoleDevice::kTransmitQueue); }

  void offer_input_buffer(std::uint64_t address, std::uint32_t size) {
    receive().offer_chain({{address, size, true}});
    harness_.notify(ConsoleDevice::kReceiveQueue);
  }

  Pipe input_ = make_pipe();
  Pipe output_ = make_pipe();
  Harness harness_;
  FileConsoleBackend* backend_ = nullptr;
  ConsoleDevice* console_ = nullptr;
};

TEST_F(ConsoleDeviceTest, WritesOutput) {
  make_console();
  harness_.set_text(Harness::kData, "hello, ");
  harness_.set_text(Harness::kData + 0x100, "world\n");
  transmit().offer_chain({{Harness::kData, 7, false}, {Harness::kData + 0x100, 6, false}});
  transmit().offer_chain({{Harness::kData, 5, false}});
  harness_.notify(ConsoleDevice::kTransmitQueue);
  EXPECT_EQ(take(output_.read_end), "hello, world\nhello");
  EXPECT_EQ(harness_.wait_for_used(1).length, 0U);
  EXPECT_TRUE(transmit().take_used());
}

TEST_F(ConsoleDeviceTest, ReadsInput) {
  make_console();
  put(input_.write_end, "typed before");
  offer_input_buffer(Harness::kData, 64);
  EXPECT_EQ(harness_.wait_for_used(0).length, 12U);
  EXPECT_EQ(harness_.text(Harness::kData, 12), "typed before");

  offer_input_buffer(Harness::kData, 4);
  EXPECT_FALSE(receive().take_used());
  put(input_.write_end, "typed later");
  harness_.run();
  EXPECT_EQ(harness_.wait_for_used(0).length, 4U);
  EXPECT_EQ(harness_.text(Harness::kData, 4), "type");
  offer_input_buffer(Harness::kData, 64);
  EXPECT_EQ(harness_.wait_for_used(0).length, 7U);
  EXPECT_EQ(harness_.text(Harness::kData, 7), "d later");
}

TEST_F(ConsoleDeviceTest, ReturnsUselessInputBuffers) {
  make_console();
  put(input_.write_end, "x");
  receive().offer_chain({{Harness::kData, 8, false}});
  offer_input_buffer(Harness::kData, 8);
  EXPECT_EQ(harness_.wait_for_used(0).length, 0U);
  EXPECT_EQ(harness_.wait_for_used(0).length, 1U);
}

TEST_F(ConsoleDeviceTest, IdlesWithoutInput) {
  make_console();
  offer_input_buffer(Harness::kData, 8);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(harness_.loop().run_once(std::chrono::milliseconds(1)).value(), 0);
  }
}

TEST_F(ConsoleDeviceTest, AHungUpInputDoesNotSpin) {
  make_console();
  offer_input_buffer(Harness::kData, 8);
  put(input_.write_end, "last");
  input_.write_end = FileDescriptor();
  harness_.run();
  // The guest has no buffer now; the hang-up must wait.
  EXPECT_EQ(harness_.loop().run_once(std::chrono::milliseconds(1)).value(), 0);
  offer_input_buffer(Harness::kData, 8);
  EXPECT_TRUE(backend_->input_ended());
  offer_input_buffer(Harness::kData, 8);
  EXPECT_EQ(harness_.loop().run_once(std::chrono::milliseconds(1)).value(), 0);
}

TEST_F(ConsoleDeviceTest, FiltersInputAndMarksItsEnd) {
  make_console({.input_filter =
                    [](std::span<std::byte> data) {
                      return data[0] == std::byte{'#'} ? std::size_t{0} : data.size();
                    },
                .at_end_of_input = "\x04"});
  offer_input_buffer(Harness::kData, 8);
  put(input_.write_end, "#dropped");
  harness_.run();
  EXPECT_FALSE(receive().take_used());
  put(input_.write_end, "kept");
  harness_.run();
  EXPECT_EQ(harness_.wait_for_used(0).length, 4U);
  input_.write_end = FileDescriptor();
  offer_input_buffer(Harness::kData, 8);
  EXPECT_EQ(harness_.wait_for_used(0).length, 1U);
  EXPECT_EQ(harness_.text(Harness::kData, 1), "\x04");
  offer_input_buffer(Harness::kData, 8);
  EXPECT_FALSE(receive().take_used());
}

TEST_F(ConsoleDeviceTest, AFloodWaitsInTheGuest) {
  ASSERT_EQ(::fcntl(output_.write_end.get(), F_SETPIPE_SZ, 4096), 4096);
  make_console();
  std::string flood;
  for (int i = 0; i < 50'000; ++i) {
    flood += static_cast<char>('a' + i % 26);
  }
  harness_.set_text(Harness::kData, flood);
  transmit().offer_chain({{Harness::kData, 50'000, false}});
  harness_.notify(ConsoleDevice::kTransmitQueue);
  EXPECT_FALSE(transmit().take_used());
  EXPECT_EQ(harness_.loop().run_once(std::chrono::milliseconds(1)).value(), 0);
  std::string received;
  while (received.size() < flood.size()) {
    const std::string more = take(output_.read_end);
    ASSERT_FALSE(more.empty());
    received += more;
    harness_.run();
  }
  EXPECT_EQ(received, flood);
  EXPECT_TRUE(transmit().take_used());
}

TEST_F(ConsoleDeviceTest, HugeChainsAreDoneInTurns) {
  const FileDescriptor sink(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  make_console(-1, sink.get(), {});
  const vmm::DriverQueue::Buffer all{0, Harness::kMemory, false};
  // The hole below 1 MiB is no RAM on every layout, so start above it.
  const vmm::DriverQueue::Buffer part{1 << 20, all.length - (1 << 20), false};
  transmit().offer_chain({part, part, part, part});
  harness_.write(Harness::kQueueNotify, 1);
  harness_.loop().run_once(std::chrono::milliseconds(0)).value();
  EXPECT_FALSE(transmit().take_used());
  harness_.run();
  EXPECT_TRUE(transmit().take_used());
}

TEST_F(ConsoleDeviceTest, OutputThatNobodyReadsIsDropped) {
  ::signal(SIGPIPE, SIG_IGN);
  make_console();
  output_.read_end = FileDescriptor();
  transmit().offer_chain({{Harness::kData, 100, false}});
  harness_.notify(ConsoleDevice::kTransmitQueue);
  EXPECT_TRUE(transmit().take_used());
  EXPECT_TRUE(backend_->output_lost());
}

TEST_F(ConsoleDeviceTest, UsesFiles) {
  const TemporaryFolder folder;
  const auto input_path = folder.write("input", "from a file");
  const auto output_path = folder.write("output", "");
  const FileDescriptor input(::open(input_path.c_str(), O_RDONLY | O_CLOEXEC));
  const FileDescriptor output(::open(output_path.c_str(), O_WRONLY | O_CLOEXEC));
  make_console(input.get(), output.get(), {.input_filter = {}, .at_end_of_input = "!"});
  offer_input_buffer(Harness::kData, 64);
  EXPECT_EQ(harness_.wait_for_used(0).length, 11U);
  offer_input_buffer(Harness::kData + 11, 64);
  EXPECT_EQ(harness_.wait_for_used(0).length, 1U);
  transmit().offer_chain({{Harness::kData, 12, false}});
  harness_.notify(ConsoleDevice::kTransmitQueue);
  std::array<char, 13> text = {};
  std::ifstream(output_path).read(text.data(), 12);
  EXPECT_STREQ(text.data(), "from a file!");
}

TEST_F(ConsoleDeviceTest, UsesSocketsWithoutChangingTheirFlags) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const FileDescriptor ours(ends[0]);
  const FileDescriptor theirs(ends[1]);
  make_console(theirs.get(), theirs.get(), {});
  EXPECT_EQ(::fcntl(theirs.get(), F_GETFL) & O_NONBLOCK, 0);
  put(ours, "in");
  offer_input_buffer(Harness::kData, 64);
  EXPECT_EQ(harness_.wait_for_used(0).length, 2U);
  transmit().offer_chain({{1 << 20, 8 << 20, false}});
  harness_.notify(ConsoleDevice::kTransmitQueue);
  EXPECT_FALSE(transmit().take_used());
  std::size_t received = 0;
  while (received < 8 << 20) {
    received += take(ours).size();
    harness_.run();
  }
  EXPECT_TRUE(transmit().take_used());
}

TEST_F(ConsoleDeviceTest, RefusesBadDescriptors) {
  EXPECT_NE(FileConsoleBackend::create(harness_.loop(), 9999, -1, {})
                .error()
                .message()
                .find("cannot use descriptor 9999 for a console"),
            std::string::npos);
  EXPECT_FALSE(FileConsoleBackend::create(harness_.loop(), -1, 9999, {}));
}

TEST_F(ConsoleDeviceTest, TellsItsSize) {
  make_console();
  EXPECT_EQ(harness_.read(Harness::kConfiguration), 0U);
  const std::uint32_t generation = harness_.read(Harness::kGeneration);
  console_->set_size(132, 50);
  EXPECT_EQ(harness_.read(Harness::kConfiguration), 50U << 16 | 132U);
  EXPECT_EQ(harness_.read(Harness::kGeneration), generation + 1);
  EXPECT_EQ(harness_.read(Harness::kInterruptStatus), 2U);
}

TEST_F(ConsoleDeviceTest, AResetForgetsWhatWaits) {
  ASSERT_EQ(::fcntl(output_.write_end.get(), F_SETPIPE_SZ, 4096), 4096);
  make_console();
  transmit().offer_chain({{Harness::kData, 50'000, false}});
  harness_.notify(ConsoleDevice::kTransmitQueue);
  harness_.start();
  take(output_.read_end);
  harness_.run();
  EXPECT_EQ(take(output_.read_end), "");
  harness_.set_text(Harness::kData, "new");
  transmit().offer_chain({{Harness::kData, 3, false}});
  harness_.notify(ConsoleDevice::kTransmitQueue);
  EXPECT_EQ(take(output_.read_end), "new");
}

TEST_F(ConsoleDeviceTest, ARestoredConsoleGoesOnInTheMiddle) {
  ASSERT_EQ(::fcntl(output_.write_end.get(), F_SETPIPE_SZ, 4096), 4096);
  make_console();
  console_->set_size(80, 24);
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text += "line " + std::to_string(i) + "\n";
  }
  harness_.set_text(Harness::kData, text);
  transmit().offer_chain({{Harness::kData, static_cast<std::uint32_t>(text.size()), false}});
  harness_.notify(ConsoleDevice::kTransmitQueue);
  const std::string first = take(output_.read_end);
  const auto state = vmm::save_state(harness_.bus().stateful_components()).value();

  const Pipe other = make_pipe();
  auto backend = FileConsoleBackend::create(harness_.loop(), -1, other.write_end.get(), {});
  VirtioMmio copy("virtio-console0", std::make_unique<ConsoleDevice>(*std::move(backend)),
                  harness_.memory(), harness_.loop(),
                  std::make_unique<vmm::CountingInterruptLine>());
  vmm::Stateful* components[] = {&copy};
  const auto restored = vmm::restore_state(state, components);
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_EQ(vmm::save_state(components).value(), state);
  harness_.run();
  EXPECT_EQ(first + take(other.read_end), text);
}

TEST_F(ConsoleDeviceTest, NothingHappensBeforeTheDriverIsThere) {
  make_console();
  harness_.write(Harness::kStatus, 0);
  put(input_.write_end, "early");
  harness_.run();
  EXPECT_EQ(harness_.loop().run_once(std::chrono::milliseconds(1)).value(), 0);
  harness_.start();
  offer_input_buffer(Harness::kData, 64);
  EXPECT_EQ(harness_.wait_for_used(0).length, 5U);
}

}  // namespace
}  // namespace ensemble::device
