// The agent's program in a real device. Lane P.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nettle/sha2.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "agent/protocol.h"
#include "agent/wire.h"
#include "tests/control/agent_device.h"

namespace ensemble::agent {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using Clock = std::chrono::steady_clock;

std::string sha256(const std::string& bytes) {
  sha256_ctx context;
  sha256_init(&context);
  sha256_update(&context, bytes.size(), reinterpret_cast<const std::uint8_t*>(bytes.data()));
  std::string digest(kDigestSize, '\0');
  sha256_digest(&context, digest.size(), reinterpret_cast<std::uint8_t*>(digest.data()));
  return digest;
}

// How a conversation ended, and what came in it.
struct Outcome {
  FrameHeader last{};
  std::string body;  // of the last frame
  std::map<std::uint32_t, std::string> data;
  std::vector<std::string> entries;

  std::string sentence() const { return std::string(BodyReader(body).text()); }
};

class AgentProgram : public control::AgentDevice {
 protected:
  void SetUp() override {
    boot({"/bin/ensemble-agent", "/bin/busybox", "sh", "-c",
          "trap 'echo asked to end; exit 7' TERM; echo started; while :; do sleep 1; done"});
    connect();
  }

  void connect() {
    socket_ = {};
    auto socket = control::connect_to_agent(folder_);
    ASSERT_TRUE(socket) << socket.error().message();
    socket_ = std::move(*socket);
    input_.clear();
    send(FrameType::kHello, 0, kVersion);
    std::string body;
    const FrameHeader answer = receive(body);
    ASSERT_EQ(answer.type, FrameType::kHello);
    ASSERT_EQ(answer.detail, kVersion);
  }

  void send(FrameType type, std::uint32_t conversation, std::uint32_t detail,
            std::string_view body = {}) {
    const FrameHeader header{static_cast<std::uint32_t>(body.size()), type, conversation, detail};
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
    bytes += body;
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t count =
          ::send(socket_.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
      ASSERT_GT(count, 0) << std::strerror(errno);
      done += static_cast<std::size_t>(count);
    }
  }

  // The next frame; none (all zeros) when the connection ends or nothing comes.
  FrameHeader receive(std::string& body) {
    FrameHeader header{};
    for (;;) {
      if (input_.size() >= sizeof header) {
        std::memcpy(&header, input_.data(), sizeof header);
        if (input_.size() - sizeof header >= header.size) {
          body = input_.substr(sizeof header, header.size);
          input_.erase(0, sizeof header + header.size);
          return header;
        }
      }
      std::string piece(1 << 16, '\0');
      const bool comes = control::readable(socket_.get(), control::kPatience);
      const ssize_t count = comes ? ::recv(socket_.get(), piece.data(), piece.size(), 0) : 0;
      if (count <= 0) {
        return {};
      }
      input_.append(piece, 0, static_cast<std::size_t>(count));
    }
  }

  // Takes what comes in the conversation until it is over.
  Outcome finish() {
    Outcome outcome;
    for (;;) {
      std::string body;
      const FrameHeader header = receive(body);
      switch (header.type) {
        case FrameType::kData:
          outcome.data[header.detail] += body;
          send(FrameType::kCredit, header.conversation, header.size);
          break;
        case FrameType::kEntry:
          outcome.entries.emplace_back(BodyReader(body).text());
          break;
        case FrameType::kStarted:
        case FrameType::kCredit:
          break;
        default:
          outcome.last = header;
          outcome.body = body;
          return outcome;
      }
    }
  }

  void begin_run(std::uint32_t number, const std::vector<std::string>& command,
                 std::uint32_t flags = 0, std::uint32_t user = 0) {
    BodyWriter body;
    body.number(flags).number(user).number(user);
    body.number(std::uint16_t{80}).number(std::uint16_t{24}).text("/tmp");
    body.number(static_cast<std::uint32_t>(command.size()));
    for (const std::string& word : command) {
      body.text(word);
    }
    body.number(std::uint32_t{1}).text("COLOUR=blue");
    send(FrameType::kRun, number, 0, body.body());
  }
  Outcome run(const std::vector<std::string>& command, std::uint32_t flags = 0,
              std::uint32_t user = 0) {
    begin_run(++number_, command, flags, user);
    send(FrameType::kEndOfData, number_, kStandardInput);
    return finish();
  }
  Outcome shell(const std::string& script, std::uint32_t flags = 0, std::uint32_t user = 0) {
    return run({"/bin/busybox", "sh", "-c", script}, flags, user);
  }

  Outcome push(const std::string& path, const std::string& contents, const std::string& digest,
               std::uint64_t offset = 0) {
    BodyWriter body;
    body.text(path).number(std::uint64_t{contents.size()}).number(offset).text(digest);
    body.number(std::uint32_t{0640}).number(std::uint32_t{5}).number(std::uint32_t{6});
    body.number(std::uint32_t{kMakeDirectories | kSetTime});
    body.number(std::int64_t{1'000'000'000'000'000'000});
    send(FrameType::kPush, ++number_, 0, body.body());
    std::uint64_t credit = kPushCredit;
    std::string frame;
    for (std::size_t at = offset; at < contents.size();) {
      while (credit < kLargestBody) {
        const FrameHeader header = receive(frame);
        if (header.type != FrameType::kCredit) {
          return {header, frame, {}, {}};
        }
        credit += header.detail;
      }
      const std::size_t size = std::min<std::size_t>(kLargestBody, contents.size() - at);
      send(FrameType::kData, number_, kContents, std::string_view(contents).substr(at, size));
      credit -= size;
      at += size;
    }
    send(FrameType::kEndOfData, number_, kContents);
    return finish();
  }

  vmm::FileDescriptor socket_;
  std::string input_;
  std::uint32_t number_ = 0;
};

TEST_F(AgentProgram, RunsCommands) {
  Outcome done = shell("pwd; echo $COLOUR; echo wrong >&2; exit 3");
  EXPECT_EQ(done.last.type, FrameType::kEnded);
  EXPECT_EQ(done.last.detail, 3U);
  EXPECT_EQ(done.data[kStandardOutput], "/tmp\nblue\n");
  EXPECT_EQ(done.data[kStandardError], "wrong\n");
  done = shell("kill -9 $$");
  EXPECT_EQ(done.last.detail, kKilled | 9);
  done = shell("id -u", kAsUser, 1000);
  EXPECT_EQ(done.data[kStandardOutput], "1000\n");
  done = run({"/bin/nothing"});
  EXPECT_EQ(done.last.type, FrameType::kFailed);
  EXPECT_EQ(done.last.detail, static_cast<std::uint32_t>(ENOENT));
  EXPECT_EQ(done.sentence(), "cannot run '/bin/nothing': No such file or directory");
}

TEST_F(AgentProgram, GivesCommandsInputSignalsAndATerminal) {
  begin_run(++number_, {"/bin/busybox", "wc", "-c"});
  for (int i = 0; i < 4; ++i) {
    send(FrameType::kData, number_, kStandardInput, std::string(100'000, 'x'));
  }
  send(FrameType::kEndOfData, number_, kStandardInput);
  EXPECT_EQ(finish().data[kStandardOutput], "400000\n");

  begin_run(++number_, {"/bin/busybox", "sleep", "100"});
  std::string body;
  EXPECT_EQ(receive(body).type, FrameType::kStarted);
  send(FrameType::kSignal, number_, 2);
  EXPECT_EQ(finish().last.detail, kKilled | 2);

  Outcome done = shell("stty size; tty", kOnTerminal);
  EXPECT_THAT(done.data[kStandardOutput], StartsWith("24 80\r\n/dev/pts/"));
}

TEST_F(AgentProgram, ServesOthersWhileOneReaderStops) {
  begin_run(++number_, {"/bin/busybox", "yes"});
  std::string body;
  std::size_t got = 0;
  while (got < kFirstCredit) {
    const FrameHeader header = receive(body);
    ASSERT_TRUE(header.type == FrameType::kData || header.type == FrameType::kStarted);
    got += header.type == FrameType::kData ? body.size() : 0;
  }
  EXPECT_EQ(got, kFirstCredit);
  const std::uint32_t stopped = number_;
  EXPECT_EQ(shell("echo still here").data[kStandardOutput], "still here\n");
  send(FrameType::kCancel, stopped, 0);
  EXPECT_EQ(shell("sleep 1; pidof yes || echo gone").data[kStandardOutput], "gone\n");
}

TEST_F(AgentProgram, WritesReadsAndListsFiles) {
  std::string contents(3'000'001, '\0');
  for (std::size_t i = 0; i < contents.size(); ++i) {
    contents[i] = static_cast<char>(i * i >> 7);
  }
  Outcome done = push("/tmp/a/b/file", contents, sha256(contents));
  ASSERT_EQ(done.last.type, FrameType::kDone) << done.sentence();
  EXPECT_EQ(shell("cd /tmp/a/b; ls -A; stat -c '%s %a %u %g %Y' file").data[kStandardOutput],
            "file\n3000001 640 5 6 1000000000\n");

  send(FrameType::kPull, ++number_, 0,
       BodyWriter().text("/tmp/a/b/file").number(std::uint64_t{1}).body());
  done = finish();
  ASSERT_EQ(done.last.type, FrameType::kDone) << done.sentence();
  EXPECT_TRUE(done.data[kContents] == contents.substr(1));
  BodyReader end(done.body);
  EXPECT_EQ(end.number<std::uint64_t>(), contents.size());
  EXPECT_EQ(end.text(), sha256(contents));

  send(FrameType::kList, ++number_, 0, BodyWriter().text("/tmp/a").body());
  EXPECT_EQ(finish().entries, std::vector<std::string>{"b"});
}

TEST_F(AgentProgram, KeepsNothingThatIsWrongAndGoesOnWithWhatBroke) {
  const std::string contents(1'000'000, 'c');
  Outcome done = push("/tmp/file", contents, std::string(kDigestSize, 'x'));
  EXPECT_EQ(done.last.type, FrameType::kFailed);
  EXPECT_THAT(done.sentence(), HasSubstr("checksum of '/tmp/file' is wrong"));
  EXPECT_EQ(shell("ls -A /tmp").data[kStandardOutput], "");

  const std::string digest = sha256(contents);
  BodyWriter body;
  body.text("/tmp/file").number(std::uint64_t{contents.size()}).number(std::uint64_t{0});
  body.text(digest).number(std::uint32_t{0644}).number(std::uint32_t{0}).number(std::uint32_t{0});
  body.number(std::uint32_t{0}).number(std::int64_t{0});
  send(FrameType::kPush, ++number_, 0, body.body());
  send(FrameType::kData, number_, kContents, std::string(200'000, 'c'));
  shell("true");  // It has come.
  connect();
  send(FrameType::kPushState, ++number_, 0, BodyWriter().text("/tmp/file").text(digest).body());
  done = finish();
  EXPECT_EQ(BodyReader(done.body).number<std::uint64_t>(), 200'000U);
  done = push("/tmp/file", contents, digest, 200'000);
  EXPECT_EQ(done.last.type, FrameType::kDone) << done.sentence();
  EXPECT_EQ(shell("cat /tmp/file | wc -c").data[kStandardOutput], "1000000\n");
}

TEST_F(AgentProgram, ServesTheNextConnection) {
  for (int i = 0; i < 20 && !HasFailure(); ++i) {
    connect();
    EXPECT_EQ(shell("echo again").data[kStandardOutput], "again\n");
    begin_run(++number_, {"/bin/busybox", "sleep", "1000"});
    std::string body;
    EXPECT_EQ(receive(body).type, FrameType::kStarted);
  }
  EXPECT_EQ(shell("pidof sleep | wc -w").data[kStandardOutput], "1\n");
}

TEST_F(AgentProgram, EndsAConnectionThatBreaksTheProtocol) {
  const FrameHeader nonsense{kLargestBody + 1, FrameType::kRun, 1, 0};
  ASSERT_EQ(::send(socket_.get(), &nonsense, sizeof nonsense, 0), ssize_t{sizeof nonsense});
  std::string body;
  EXPECT_EQ(receive(body).size, 0U);
  connect();
  send(FrameType::kRun, ++number_, 0, "short");
  EXPECT_THAT(finish().sentence(), HasSubstr("malformed"));
  EXPECT_EQ(shell("echo alive").data[kStandardOutput], "alive\n");
}

TEST_F(AgentProgram, EndsTheDeviceWithItsCommand) {
  wait_for_log("started");
  send(FrameType::kTerminate, 0, 0);
  const auto stopped = controller_->stopped();
  EXPECT_EQ(stopped.reason(), ensemble::vmm::v1::STOP_REASON_POWER_OFF);
  EXPECT_EQ(stopped.exit_code(), 7U);
  EXPECT_THAT(log(), HasSubstr("asked to end"));
}

// A shell for want of a command. As every interactive one it passes over SIGTERM.
class AgentShell : public AgentProgram {
 protected:
  void SetUp() override {
    root_.reset();
    terminal_.emplace();
    boot({"/bin/ensemble-agent"});
    connect();
  }
};

TEST_F(AgentShell, RunsOnTheConsole) {
  wait_for_log(":~");
  EXPECT_EQ(shell("ps -o comm | grep -c '^sh$'; cat /proc/1/comm").data[kStandardOutput],
            "1\nensemble-agent\n");
  send(FrameType::kTerminate, 0, 10'000);
  const auto stopped = controller_->stopped();
  EXPECT_EQ(stopped.reason(), ensemble::vmm::v1::STOP_REASON_POWER_OFF);
}

TEST_F(AgentProgram, MakesDirectoriesAndLinks) {
  const auto make = [&](const std::string& path, std::uint32_t flag, std::uint32_t mode) {
    BodyWriter body;
    body.text(path).number(std::uint64_t{0}).number(std::uint64_t{0}).text("");
    body.number(mode).number(std::uint32_t{0}).number(std::uint32_t{0}).number(flag);
    body.number(std::int64_t{0}).text("there");
    send(FrameType::kPush, ++number_, 0, body.body());
    return finish();
  };
  EXPECT_EQ(make("/tmp/folder", kDirectory, 0710).last.type, FrameType::kDone);
  EXPECT_EQ(make("/tmp/folder/link", kLink, 0).last.type, FrameType::kDone);
  EXPECT_EQ(make("/tmp/folder/link", kLink, 0).last.type, FrameType::kDone);
  EXPECT_EQ(shell("cd /tmp/folder; stat -c %a .; ls -A; readlink link").data[kStandardOutput],
            "710\nlink\nthere\n");
  EXPECT_EQ(make("relative", kDirectory, 0).last.detail, static_cast<std::uint32_t>(EINVAL));
}

class FastAgent : public AgentProgram {
 protected:
  void SetUp() override {
    boot({"/bin/ensemble-agent", "/bin/busybox", "sleep", "1000"}, "tablet");
    connect();
  }
};

TEST_F(FastAgent, RunsAndWrites) {
  std::vector<double> times;
  for (int i = 0; i < 31; ++i) {
    const auto start = Clock::now();
    EXPECT_EQ(run({"/bin/busybox", "true"}).last.detail, 0U);
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  std::ranges::sort(times);
  std::cout << "run, median of 31: " << times[15] << " ms\n";
#ifdef ENSEMBLE_SANITIZED
  const std::string contents(16 << 20, 'p');
#else
  const std::string contents(256 << 20, 'p');
#endif
  const std::string digest = sha256(contents);
  const auto start = Clock::now();
  EXPECT_EQ(push("/tmp/big", contents, digest).last.type, FrameType::kDone);
  const std::chrono::duration<double> time = Clock::now() - start;
  std::cout << "push: " << static_cast<double>(contents.size()) / 1e6 / time.count() << " MB/s\n";
}

}  // namespace
}  // namespace ensemble::agent
