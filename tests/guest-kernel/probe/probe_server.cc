// Stands in for the Linux server in a boot package of the tests: uses what the composer gave it,
// and reports on the console. Its commands are the machine's arguments, one after another.

#include <array>
#include <cstring>
#include <string_view>

#include "guest-kernel/lib/byte_ring.h"
#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/device_table.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/lib/program.h"

namespace {

using guest::Role;

class Probe {
 public:
  explicit Probe(guest::StartInfo& info)
      : info_(&info),
        console_(*info.find(Role::kConsole)),
        output_(shared().output, ring(guest::kConsoleOutputOffset, guest::kConsoleOutputSize)),
        input_(shared().input, ring(guest::kConsoleInputOffset, guest::kConsoleInputSize)) {}

  void run() {
    started_ = guest::read_tsc();
    const guest::Resource& arguments = *info_->find(Role::kArguments);
    std::string_view rest(reinterpret_cast<const char*>(arguments.address), arguments.size);
    for (std::uint32_t i = 0; i < arguments.value; ++i) {
      const std::size_t end = rest.find('\0');
      command(rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
    end(0);
  }

 private:
  guest::ConsoleShared& shared() const {
    return *reinterpret_cast<guest::ConsoleShared*>(console_.address);
  }
  std::span<std::byte> ring(std::size_t offset, std::size_t size) const {
    return {reinterpret_cast<std::byte*>(console_.address) + offset, size};
  }

  void wait() const { (void)guest::Receiver(info_->slot_of(Role::kOwnPort)).wait(); }

  void print(std::string_view text) {
    auto bytes = std::as_bytes(std::span(text));
    while (!bytes.empty()) {
      const std::size_t count = output_.write(bytes);
      bytes = bytes.subspan(count);
      if (output_.consumer_waits()) {
        guest::signal(console_.slot);
      }
      if (!bytes.empty() && output_.wait_for_room()) {
        wait();
      }
    }
  }

  void print_number(std::string_view name, std::uint64_t value) {
    std::array<char, 80> buffer;
    print(guest::TextWriter(buffer).text(name).put('=').decimal(value).put('\n').view());
  }

  [[noreturn]] void end(std::uint64_t code) {
    guest::Message message{{static_cast<std::uint64_t>(guest::ControlRequest::kCommandEnded), code,
                            started_, guest::read_tsc()}};
    guest::call(info_->slot_of(Role::kControl), message);
    guest::exit_thread();
  }

  // Reads a line and prints it.
  void echo() {
    std::array<std::byte, 256> line;
    std::size_t size = 0;
    while (size < line.size() && (size == 0 || line[size - 1] != std::byte{'\n'})) {
      const std::size_t count = input_.read(std::span(line).subspan(size, 1));
      size += count;
      if (input_.producer_waits()) {
        guest::signal(console_.slot);
      }
      if (count == 0 && input_.wait_for_bytes()) {
        wait();
      }
    }
    print("echo: ");
    print({reinterpret_cast<const char*>(line.data()), size});
  }

  // Has the composer start and give the rest.
  void complete() {
    guest::Message message{{static_cast<std::uint64_t>(guest::ControlRequest::kCompleteStart)}};
    guest::call(info_->slot_of(Role::kControl), message);
    print_number("complete", message[0]);
  }

  void entropy() {
    guest::Message message{{guest::kEntropyMaximum}};
    const auto status = guest::call(info_->slot_of(Role::kEntropy), message);
    std::uint64_t all = 0;
    for (std::size_t i = 1; i < message.word.size(); ++i) {
      all |= message[i];
    }
    print(status == guest::Status::kOk && message[0] == 0 && all != 0 ? "entropy ok\n"
                                                                      : "entropy bad\n");
  }

  guest::Message block_call(guest::BlockRequest request, std::uint64_t sector,
                            std::uint64_t sectors, std::uint64_t offset) {
    guest::Message message{{static_cast<std::uint64_t>(request), sector, sectors, offset}};
    if (guest::call(info_->slot_of(Role::kBlock), message) != guest::Status::kOk) {
      message[0] = ~std::uint64_t{0};
    }
    return message;
  }

  // Writes a pattern to sectors 8 … 15, reads it back from the device, and asks for what is
  // refused.
  void block() {
    const guest::Resource* disk = info_->find(Role::kBlock);
    if (disk == nullptr) {
      print("no disk\n");
      return;
    }
    auto* data = reinterpret_cast<unsigned char*>(disk->address);
    const std::uint64_t capacity = block_call(guest::BlockRequest::kGeometry, 0, 0, 0)[1];
    print_number("capacity", capacity);
    for (std::size_t i = 0; i < 4096; ++i) {
      data[i] = static_cast<unsigned char>(i * 7 + i / 256);
    }
    print_number("write", block_call(guest::BlockRequest::kWrite, 8, 8, 0)[0]);
    print_number("flush", block_call(guest::BlockRequest::kFlush, 0, 0, 0)[0]);
    const guest::Message read = block_call(guest::BlockRequest::kRead, 8, 8, 8192);
    print_number("read", read[0]);
    print_number("read_bytes", read[1]);
    print(std::memcmp(data, data + 8192, 4096) == 0 ? "same\n" : "different\n");
    print_number("past_end", block_call(guest::BlockRequest::kRead, capacity, 1, 0)[0]);
    print_number("overflow", block_call(guest::BlockRequest::kRead, ~std::uint64_t{0}, 2, 0)[0]);
    print_number("outside", block_call(guest::BlockRequest::kRead, 0, 1, disk->size)[0]);
    print_number("unknown", block_call(static_cast<guest::BlockRequest>(99), 0, 1, 0)[0]);
    const guest::Message id = block_call(guest::BlockRequest::kGetId, 0, 0, 16384);
    print_number("id", id[0]);
  }

  void flood() {
    for (int i = 0; i < 2000; ++i) {
      print("0123456789 0123456789 0123456789 0123456789 flood\n");
    }
  }

  // What /bin/devices reads.
  void table() {
    guest::Message message{{static_cast<std::uint64_t>(guest::InformationRequest::kRefresh)}};
    guest::call(info_->slot_of(Role::kInformation), message);
    constexpr std::uint64_t kAddress = 0x2'0000'0000;
    guest::map(abi::kSelfSlot, kAddress, info_->slot_of(Role::kDeviceTable), 0,
               guest::kDeviceTableSize, abi::kRightRead);
    const auto& devices = *reinterpret_cast<const guest::DeviceTable*>(kAddress);
    for (std::uint32_t i = 0; i < devices.device_count; ++i) {
      const guest::DeviceRecord& device = devices.devices[i];
      std::array<char, 240> buffer;
      guest::TextWriter line(buffer);
      line.text(guest::text_of(device.compatible)).put(' ').text(guest::text_of(device.driver));
      line.put(' ').text(guest::text_of(device.domain)).text(" state ");
      line.decimal(static_cast<std::uint64_t>(device.state)).text(" restarts ");
      line.decimal(device.restarts).put(' ').text(guest::text_of(device.message)).put('\n');
      print(line.view());
    }
    print_number("processors", devices.processors_running);
  }

  void time() {
    const std::uint64_t before = guest::monotonic_ns();
    const std::uint64_t after = guest::monotonic_ns();
    print(before <= after && before < 60'000'000'000 ? "time ok\n" : "time bad\n");
  }

  void command(std::string_view word) {
    if (word == "hello") {
      print("hello from ring 3\n");
    } else if (word == "echo") {
      echo();
    } else if (word == "complete") {
      complete();
    } else if (word == "entropy") {
      entropy();
    } else if (word == "block") {
      block();
    } else if (word == "flood") {
      flood();
    } else if (word == "table") {
      table();
    } else if (word == "time") {
      time();
    } else if (word == "fault") {
      asm volatile("ud2");
    } else if (word == "exit7") {
      end(7);
    } else if (word == "reset") {
      guest::Message message{{static_cast<std::uint64_t>(guest::ControlRequest::kReset)}};
      guest::call(info_->slot_of(Role::kControl), message);
    } else {
      print("unknown command\n");
    }
  }

  guest::StartInfo* info_;
  const guest::Resource& console_;
  guest::ByteRingProducer output_;
  guest::ByteRingConsumer input_;
  std::uint64_t started_ = 0;
};

}  // namespace

void program_main(guest::StartInfo& info) {
  Probe(info).run();
}
