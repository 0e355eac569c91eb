#include "control/access/tokens.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "control/daemon/tcp_options.h"
#include "tests/control/temporary_directory.h"

namespace ensemble::control {
namespace {

class Tokens : public testing::Test {
 protected:
  std::string write(const std::string& text) {
    std::ofstream(path_) << text;
    ::chmod(path_.c_str(), 0600);
    return path_;
  }
  std::string refusal(const std::string& text) {
    const auto read = read_tokens(write(text));
    return read ? "it was read" : read.error().message();
  }
  Token token(const std::string& name) {
    Token made;
    made.name = name;
    made.sha256 = sha256_of(name);
    return made;
  }

  TemporaryDirectory directory_;
  std::string path_ = directory_.path("tokens.yaml");
};

TEST_F(Tokens, AreReadAsTheyWereWritten) {
  Token ci = token("ci \"one\": x");
  ci.role = Role::kOperator;
  ci.expires = WallTime(std::chrono::seconds(1'800'000'000));
  ASSERT_TRUE(add_token(path_, ci));
  ASSERT_TRUE(add_token(path_, token("eternal")));
  const auto read = read_tokens(path_);
  ASSERT_TRUE(read) << read.error().message();
  ASSERT_EQ(read->size(), 2U);
  EXPECT_EQ(read->front().name, ci.name);
  EXPECT_EQ(read->front().sha256, ci.sha256);
  EXPECT_EQ(read->front().role, Role::kOperator);
  EXPECT_EQ(read->front().expires, ci.expires);
  EXPECT_FALSE(read->back().expires);
  struct stat status {};
  ::stat(path_.c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(Tokens, AreFoundByTheirTextOnly) {
  const std::vector<Token> tokens = {token("a"), token("b")};
  EXPECT_EQ(find_token(tokens, "b"), &tokens[1]);
  EXPECT_EQ(find_token(tokens, "c"), nullptr);
  EXPECT_EQ(find_token(tokens, ""), nullptr);
  EXPECT_EQ(find_token({}, "a"), nullptr);
}

TEST_F(Tokens, AreAllDifferent) {
  const auto one = make_token_text();
  const auto two = make_token_text();
  ASSERT_TRUE(one && two);
  EXPECT_EQ(one->size(), 68U);
  EXPECT_NE(*one, *two);
}

TEST_F(Tokens, NamesAreTakenOnceAndRevokedOnce) {
  ASSERT_TRUE(add_token(path_, token("ci")));
  EXPECT_FALSE(add_token(path_, token("ci")));
  EXPECT_FALSE(add_token(path_, token("")));
  EXPECT_TRUE(remove_token(path_, "ci"));
  EXPECT_FALSE(remove_token(path_, "ci"));
  EXPECT_TRUE(read_tokens(path_)->empty());
}

TEST_F(Tokens, NoneIsLostWhenManyAreMadeAtOnce) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this, i] { EXPECT_TRUE(add_token(path_, token(std::to_string(i)))); });
  }
  threads.clear();
  EXPECT_EQ(read_tokens(path_)->size(), 8U);
}

TEST_F(Tokens, DamagedFilesAreRefusedWithTheField) {
  const std::string digest(64, 'a');
  const auto entry = [&](const std::string& role, const std::string& expires) {
    return "tokens:\n- {name: a, sha256: " + digest + ", role: " + role +
           ", created: 2026-01-01T00:00:00Z, expires: " + expires + "}\n";
  };
  EXPECT_TRUE(read_tokens(write(entry("viewer", "never"))));
  EXPECT_NE(refusal(entry("root", "never")).find("tokens[0]: role: 'root'"), std::string::npos);
  EXPECT_NE(refusal(entry("viewer", "tomorrow")).find("expires: 'tomorrow'"), std::string::npos);
  EXPECT_NE(refusal(entry("viewer", "\"\"")).find("expires"), std::string::npos);
  EXPECT_NE(refusal("tokens: [{name: a, sha256: 12}]").find("sha256"), std::string::npos);
  EXPECT_NE(refusal("tokens: [{name: a, salt: 12}]").find("salt"), std::string::npos);
  EXPECT_NE(refusal("tokens: [3]").find("mapping"), std::string::npos);
  EXPECT_NE(refusal("").find("no list 'tokens'"), std::string::npos);
  EXPECT_NE(refusal("tokens: [").find(path_), std::string::npos);
  EXPECT_NE(refusal("? [a]\n: b\ntokens: [{[a]: b}]").find(path_), std::string::npos);
}

TEST_F(Tokens, DatesThatNoCalendarHasAreRefusedWithFileAndLine) {
  const std::string good = "tokens:\n- name: a\n  sha256: " + std::string(64, 'a') +
                           "\n  role: viewer\n  created: 2026-01-01T00:00:00Z\n  expires: ";
  EXPECT_TRUE(read_tokens(write(good + "2028-02-29T00:00:00Z\n")));
  for (const std::string bad :
       {"2026-02-31T00:00:00Z", "2027-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
        "2026-12-24T24:00:00Z", "2026-12-24T18:00:60Z", "2026-12-24 18:00:00Z", "2026-12-24"}) {
    EXPECT_EQ(refusal(good + bad + "\n"), path_ + ":6: tokens[0]: expires: '" + bad +
                                              "' is no time such as 2026-12-24T18:00:00Z");
  }
  EXPECT_TRUE(refusal("tokens:\n- name: a\n  role: root\n").starts_with(path_ + ":2: tokens[0]: "));
}

TEST_F(Tokens, FilesThatOthersMayWriteAreRefused) {
  write("tokens: []\n");
  ::chmod(path_.c_str(), 0620);
  const auto read = read_tokens(path_);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message().find("chmod 600"), std::string::npos);
}

TEST(TcpAddress, IsANumberAndAPort) {
  EXPECT_TRUE(parse_tcp_address("127.3.2.1:80")->is_loopback);
  EXPECT_TRUE(parse_tcp_address("[::1]:80")->is_loopback);
  EXPECT_FALSE(parse_tcp_address("0.0.0.0:80")->is_loopback);
  EXPECT_FALSE(parse_tcp_address("[::]:80")->is_loopback);
  EXPECT_FALSE(parse_tcp_address("[::ffff:127.0.0.1]:80")->is_loopback);
  for (const char* text :
       {"", ":", "80", "localhost:80", "127.0.0.1", "127.0.0.1:", "1.2.3.4:65536", "1.2.3.4:-1",
        "1.2.3.4:8x", "::1:80", "[::1:80", "[]:80", "127.1:80"}) {
    EXPECT_FALSE(parse_tcp_address(text)) << text;
  }
}

TEST(TcpOptions, WithoutAuthenticationAreRefused) {
  const auto options = [](const char* address) {
    TcpOptions made;
    made.address = *parse_tcp_address(address);
    return made;
  };
  TcpOptions plain = options("127.0.0.1:1");
  EXPECT_FALSE(check(plain));
  plain.tokens = "t";
  EXPECT_TRUE(check(plain));
  plain.address = *parse_tcp_address("10.0.0.1:1");
  EXPECT_FALSE(check(plain));
  TcpOptions tls = options("10.0.0.1:1");
  tls.certificate = "c";
  EXPECT_FALSE(check(tls));
  tls.key = "k";
  EXPECT_FALSE(check(tls));
  tls.client_ca = "a";
  EXPECT_FALSE(check(tls));
  tls.certificate_roles["x"] = Role::kViewer;
  EXPECT_TRUE(check(tls));
}

TEST(Period, IsANumberAndAUnit) {
  EXPECT_EQ(*parse_period("30d"), std::chrono::days(30));
  EXPECT_EQ(*parse_period("90m"), std::chrono::minutes(90));
  for (const char* text : {"", "d", "30", "0d", "-1d", "1w", "1dd", "99999999999999999999d"}) {
    EXPECT_FALSE(parse_period(text)) << text;
  }
}

}  // namespace
}  // namespace ensemble::control
