#pragma once

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "device-model/virtio/network_device.h"
#include "tests/device-model/virtio_harness.h"

namespace ensemble::device {

// What a guest's network stack does, as far as tests of networks need it: one Ethernet address, one
// IPv4 address, one TCP connection. Frames go through a network device and its queues.
class GuestStack {
 public:
  static constexpr MacAddress kMac{0x02, 1, 2, 3, 4, 5};
  static constexpr std::uint32_t kGateway = 0x0A000202;
  static constexpr std::uint32_t kAddress = 0x0A00020F;
  static constexpr std::uint16_t kPort = 40000;

  // `connect` makes the network, on the event loop that it gets.
  template <typename Connect>
  explicit GuestStack(Connect connect) {
    harness_.attach(std::make_unique<NetworkDevice>(kMac, connect(harness_.loop())));
    harness_.start(VirtioHarness::kVersion1 | 1 << 15);
    for (std::uint16_t i = 0; i < VirtioHarness::kQueueSize; ++i) {
      offer_buffer();
    }
    harness_.notify(0);
  }

  VirtioHarness& harness() { return harness_; }

  void send(const std::string& frame) {
    harness_.set_text(kOutgoing, std::string(sizeof(NetworkDevice::Header), '\0') + frame);
    const auto size = static_cast<std::uint32_t>(sizeof(NetworkDevice::Header) + frame.size());
    harness_.queue(1).offer_chain({{kOutgoing, size, false}});
    harness_.notify(1);
    EXPECT_TRUE(harness_.queue(1).take_used());
  }

  // The next frame that `wanted` accepts, waiting 10 s at most; empty: none came. Requests for this
  // guest's Ethernet address are answered meanwhile.
  std::string receive(const std::function<bool(const std::string&)>& wanted) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < deadline) {
      if (const auto frame = next_frame()) {
        answer_arp(*frame);
        if (wanted(*frame)) {
          return *frame;
        }
      } else {
        harness_.loop().run_once(std::chrono::milliseconds(10)).value();
      }
    }
    return "";
  }

  // A frame that has arrived, with its buffer offered again.
  std::optional<std::string> next_frame() {
    const auto used = harness_.queue(0).take_used();
    if (!used) {
      return std::nullopt;
    }
    std::string frame =
        harness_.text(kIncoming + std::uint64_t{taken_} * kBufferSize, used->length);
    taken_ = static_cast<std::uint16_t>((taken_ + 1) % VirtioHarness::kQueueSize);
    offer_buffer();
    harness_.notify(0);
    return frame.substr(sizeof(NetworkDevice::Header));
  }

  // Frames.

  static std::string ethernet(std::uint16_t type, const std::string& payload, bool broadcast) {
    std::string frame =
        broadcast ? std::string(6, '\xFF') : std::string("\x52\x55\x0A\x00\x02\x02", 6);
    frame.append(reinterpret_cast<const char*>(kMac.data()), kMac.size());
    frame += {static_cast<char>(type >> 8), static_cast<char>(type)};
    return frame + payload;
  }

  // An IPv4 frame in two parts, of which the first has `size` bytes of content.
  static std::pair<std::string, std::string> in_parts(const std::string& frame, std::size_t size) {
    const auto part = [&frame](std::size_t begin, std::size_t end, bool more) {
      iphdr header;
      std::memcpy(&header, frame.data() + ETHER_HDR_LEN, sizeof(header));
      const std::string content =
          frame.substr(ETHER_HDR_LEN + sizeof(header)).substr(begin, end - begin);
      header.tot_len = htons(static_cast<std::uint16_t>(sizeof(header) + content.size()));
      header.frag_off = htons(static_cast<std::uint16_t>(begin / 8 | (more ? 0x2000 : 0)));
      header.check = 0;
      header.check = checksum(bytes(header));
      return frame.substr(0, ETHER_HDR_LEN) + bytes(header) + content;
    };
    return {part(0, size, true), part(size, frame.size(), false)};
  }

  // `operation`: 1 asks, 2 answers.
  static std::string arp(std::uint16_t operation, std::uint32_t source, std::uint32_t target) {
    const std::string mac(reinterpret_cast<const char*>(kMac.data()), kMac.size());
    std::string body("\0\1\x08\0\6\4\0", 7);
    body += static_cast<char>(operation);
    body += mac + bytes(htonl(source)) + std::string(6, '\0') + bytes(htonl(target));
    return ethernet(ETHERTYPE_ARP, body, true);
  }

  static std::string ip(std::uint8_t protocol, std::uint32_t source, std::uint32_t target,
                        const std::string& payload) {
    iphdr header{};
    header.version = 4;
    header.ihl = 5;
    header.tot_len = htons(static_cast<std::uint16_t>(sizeof(header) + payload.size()));
    header.ttl = 64;
    header.protocol = protocol;
    header.saddr = htonl(source);
    header.daddr = htonl(target);
    header.check = checksum(bytes(header));
    return ethernet(ETHERTYPE_IP, bytes(header) + payload, target == INADDR_BROADCAST);
  }

  static std::string udp(std::uint32_t source, std::uint16_t source_port, std::uint32_t target,
                         std::uint16_t target_port, const std::string& payload) {
    udphdr header{};
    header.source = htons(source_port);
    header.dest = htons(target_port);
    header.len = htons(static_cast<std::uint16_t>(sizeof(header) + payload.size()));
    return ip(IPPROTO_UDP, source, target, bytes(header) + payload);
  }

  // TCP, with a receive window of `window` bytes.

  struct Segment {
    tcphdr header{};
    std::string data;
  };

  static Segment parse_tcp(const std::string& frame) {
    Segment segment;
    constexpr std::size_t kTcp = ETHER_HDR_LEN + sizeof(iphdr);
    std::memcpy(&segment.header, frame.data() + kTcp, sizeof(tcphdr));
    iphdr header{};
    std::memcpy(&header, frame.data() + ETHER_HDR_LEN, sizeof(header));
    const std::size_t end = ETHER_HDR_LEN + std::size_t{ntohs(header.tot_len)};
    const std::size_t begin = kTcp + std::size_t{segment.header.doff} * 4;
    segment.data = frame.substr(begin, end - begin);
    return segment;
  }

  static bool is_tcp(const std::string& frame) {
    return frame.size() >= ETHER_HDR_LEN + sizeof(iphdr) + sizeof(tcphdr) &&
           frame.substr(12, 2) == std::string("\x08\0", 2) && frame[14 + 9] == IPPROTO_TCP;
  }

  void send_tcp(std::uint16_t port, std::uint8_t flags, const std::string& data = {}) {
    tcphdr header{};
    header.source = htons(kPort);
    header.dest = htons(port);
    header.seq = htonl(next_);
    header.ack_seq = htonl(expected_);
    header.doff = sizeof(header) / 4;
    header.th_flags = flags;
    header.window = htons(window);
    const std::string pseudo =
        bytes(htonl(kAddress)) + bytes(htonl(kGateway)) + std::string("\0\6", 2) +
        bytes(htons(static_cast<std::uint16_t>(sizeof(header) + data.size())));
    header.check = checksum(pseudo + bytes(header) + data);
    send(ip(IPPROTO_TCP, kAddress, kGateway, bytes(header) + data));
    next_ += static_cast<std::uint32_t>(data.size()) + ((flags & (TH_SYN | TH_FIN)) != 0 ? 1 : 0);
  }

  // Takes the next segment that is in order, and acknowledges what it carries.
  Segment take_tcp(std::uint16_t port) {
    for (;;) {
      const std::string frame = receive(is_tcp);
      if (frame.empty()) {
        ADD_FAILURE() << "no segment came";
        return {};
      }
      Segment segment = parse_tcp(frame);
      const bool begins = (segment.header.th_flags & (TH_SYN | TH_RST)) != 0;
      if (begins || ntohl(segment.header.seq) == expected_) {
        const bool counts = (segment.header.th_flags & (TH_SYN | TH_FIN)) != 0;
        expected_ = ntohl(segment.header.seq) + static_cast<std::uint32_t>(segment.data.size()) +
                    (counts ? 1 : 0);
        if (counts || !segment.data.empty()) {
          send_tcp(port, TH_ACK);
        }
        return segment;
      }
      send_tcp(port, TH_ACK);
    }
  }

  std::uint16_t window = 0xFFFF;

 private:
  static constexpr std::uint64_t kOutgoing = VirtioHarness::kData;
  static constexpr std::uint64_t kIncoming = VirtioHarness::kData + 0x100000;
  static constexpr std::uint32_t kBufferSize = 2048;

  template <typename T>
  static std::string bytes(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
  }

  static std::uint16_t checksum(std::string data) {
    data.resize((data.size() + 1) / 2 * 2);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < data.size(); i += 2) {
      std::uint16_t word = 0;
      std::memcpy(&word, data.data() + i, sizeof(word));
      sum += word;
    }
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
  }

  void offer_buffer() {
    harness_.queue(0).offer_chain(
        {{kIncoming + std::uint64_t{offered_} * kBufferSize, kBufferSize, true}});
    offered_ = static_cast<std::uint16_t>((offered_ + 1) % VirtioHarness::kQueueSize);
  }

  void answer_arp(const std::string& frame) {
    if (frame.substr(12, 2) == "\x08\x06" && frame[21] == 1) {
      send(arp(2, kAddress, kGateway));
    }
  }

  VirtioHarness harness_;
  std::uint16_t offered_ = 0;  // The buffer to offer next.
  std::uint16_t taken_ = 0;    // The buffer that comes back next.
  std::uint32_t next_ = 1000;  // Of the connection: what is sent next, and what is to come.
  std::uint32_t expected_ = 0;
};

}  // namespace ensemble::device
