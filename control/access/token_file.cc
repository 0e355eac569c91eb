#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <map>
#include <set>

#include "control/access/tokens.h"
#include "control/atomic_file.h"
#include "control/small_file.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {
namespace {

constexpr const char* kHeading =
    "# Bearer tokens of ensembled, by their digests; `ensemble token` writes this file.\n";
constexpr std::size_t kLongestName = 63;

// The file, if its owner and mode say that nobody else can have written it.
Result<vmm::FileDescriptor> open_checked(const std::string& path) {
  // Not waiting for a pipe's other end.
  vmm::FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) {
    return std::unexpected(Error::from_errno("cannot use the tokens in '" + path + "'", errno));
  }
  if (!S_ISREG(status.st_mode)) {
    return fail("'{}' is not a regular file, and tokens are kept in one", path);
  }
  if (status.st_uid != ::geteuid() && status.st_uid != 0) {
    return fail("'{}' belongs to user {}; tokens are taken from files of root and of user {} only",
                path, status.st_uid, ::geteuid());
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fail("'{}' can be written by other users (mode {:04o}): `chmod 600` it", path,
                status.st_mode & 07777);
  }
  return file;
}

Result<Sha256Digest> parse_digest(const std::string& text) {
  Sha256Digest digest;
  bool good = text.size() == 2 * digest.size();
  for (std::size_t i = 0; good && i < digest.size(); ++i) {
    const char* begin = text.data() + 2 * i;
    const auto [end, failed] = std::from_chars(begin, begin + 2, digest[i], 16);
    good = failed == std::errc() && end == begin + 2;
  }
  return good
             ? Result<Sha256Digest>(digest)
             : fail("sha256: {} characters, of which not all are hexadecimal digits; wanted are 64",
                    text.size());
}

Result<WallTime> parse_time(const std::string& field, const std::string& text) {
  tm fields{};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &fields);
  const WallTime time(std::chrono::seconds(::timegm(&fields)));
  // What strptime() takes and no calendar has, such as 31 February, becomes another day.
  if (end == nullptr || *end != '\0' || format_time(time) != text) {
    return fail("{}: '{}' is no time such as 2026-12-24T18:00:00Z", field, text);
  }
  return time;
}

// `line` becomes that of what is wrong, counted from 0.
Result<Token> parse_entry(const YAML::Node& entry, int& line) {
  line = entry.Mark().line;
  if (!entry.IsMap()) {
    return fail("it is not a mapping");
  }
  std::map<std::string, std::string> fields;
  std::map<std::string, int> lines;
  for (const auto& field : entry) {
    line = field.first.Mark().line;
    const auto name = field.first.as<std::string>();
    static const std::set<std::string> kNames = {"name", "sha256", "role", "created", "expires"};
    if (!kNames.contains(name) || !field.second.IsScalar()) {
      return fail("{}: a token has name, sha256, role, created and expires", name);
    }
    fields[name] = field.second.as<std::string>();
    lines[name] = line;
  }
  // A field that is missing is missing where the entry begins.
  const auto begin = [&](const char* name) {
    line = lines.contains(name) ? lines[name] : entry.Mark().line;
  };
  Token token;
  begin("name");
  token.name = fields["name"];
  if (token.name.empty() || token.name.size() > kLongestName) {
    return fail("name: '{}' does not have 1 to {} characters", token.name, kLongestName);
  }
  begin("sha256");
  const auto digest = parse_digest(fields["sha256"]);
  if (!digest) {
    return std::unexpected(digest.error());
  }
  begin("role");
  const auto role = parse_role(fields["role"]);
  if (!role) {
    return std::unexpected(role.error().with_context("role"));
  }
  begin("created");
  const auto created = parse_time("created", fields["created"]);
  if (!created) {
    return std::unexpected(created.error());
  }
  token.sha256 = *digest;
  token.role = *role;
  token.created = *created;
  begin("expires");
  if (fields["expires"] != "never") {
    const auto expires = parse_time("expires", fields["expires"]);
    if (!expires) {
      return std::unexpected(expires.error());
    }
    token.expires = *expires;
  }
  return token;
}

// The Error begins with the path and, where there is one, the line.
Result<std::vector<Token>> parse_tokens(const std::string& text, const std::string& path) {
  const YAML::Node document = YAML::Load(text);
  const YAML::Node entries = document["tokens"];
  if (!document.IsMap() || !entries || !(entries.IsSequence() || entries.IsNull())) {
    return fail("{}: there is no list 'tokens'", path);
  }
  std::vector<Token> tokens;
  for (const YAML::Node& entry : entries) {
    int line = 0;
    auto token = parse_entry(entry, line);
    if (!token) {
      return std::unexpected(token.error().with_context(
          fmt::format("{}:{}: tokens[{}]", path, line + 1, tokens.size())));
    }
    if (std::ranges::find(tokens, token->name, &Token::name) != tokens.end()) {
      return fail("{}:{}: tokens[{}]: the name '{}' is there twice", path, entry.Mark().line + 1,
                  tokens.size(), token->name);
    }
    tokens.push_back(std::move(*token));
  }
  return tokens;
}

std::string to_yaml(const std::vector<Token>& tokens) {
  YAML::Emitter out;
  out << YAML::BeginMap << YAML::Key << "tokens" << YAML::Value << YAML::BeginSeq;
  for (const Token& token : tokens) {
    out << YAML::BeginMap;
    out << YAML::Key << "name" << YAML::Value << YAML::DoubleQuoted << token.name;
    out << YAML::Key << "sha256" << YAML::Value << to_hexadecimal(token.sha256);
    out << YAML::Key << "role" << YAML::Value << std::string(to_string(token.role));
    out << YAML::Key << "created" << YAML::Value << format_time(token.created);
    out << YAML::Key << "expires" << YAML::Value
        << (token.expires ? format_time(*token.expires) : "never");
    out << YAML::EndMap;
  }
  out << YAML::EndSeq << YAML::EndMap;
  return std::string(kHeading) + out.c_str() + "\n";
}

// The file itself where the path is that of a link, which a new file would replace.
std::string real_path(const std::string& path) {
  std::error_code failed;
  const std::filesystem::path found = std::filesystem::weakly_canonical(path, failed);
  return failed ? path : found.string();
}

// Keeps other writers of the file out while it lives. The directory is locked, for the file is
// replaced.
Result<vmm::FileDescriptor> lock(const std::string& path) {
  std::filesystem::path directory = std::filesystem::path(path).parent_path();
  if (directory.empty()) {
    directory = ".";
  }
  vmm::FileDescriptor descriptor(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!descriptor || ::flock(descriptor.get(), LOCK_EX) != 0) {
    return std::unexpected(
        Error::from_errno("cannot use the directory '" + directory.string() + "'", errno));
  }
  return descriptor;
}

Result<std::vector<Token>> read_or_begin(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored) ? read_tokens(path)
                                                : Result<std::vector<Token>>(std::in_place);
}

Result<void> write(const std::string& path, const std::vector<Token>& tokens) {
  const mode_t mask = ::umask(0077);
  auto written = write_file_atomically(path, to_yaml(tokens));
  ::umask(mask);
  return written;
}

}  // namespace

Result<std::vector<Token>> read_tokens(const std::string& path) {
  const auto file = open_checked(path);
  if (!file) {
    return std::unexpected(file.error());
  }
  const auto text = read_small_file(*file, path);
  if (!text) {
    return std::unexpected(text.error());
  }
  try {
    return parse_tokens(*text, path);
  } catch (const YAML::Exception& error) {
    return fail("{}:{}: {}", path, error.mark.line + 1, error.msg);
  }
}

Result<void> add_token(const std::string& file, const Token& token) {
  const std::string path = real_path(file);
  if (token.name.empty() || token.name.size() > kLongestName) {
    return fail("the name '{}' does not have 1 to {} characters", token.name, kLongestName);
  }
  const auto locked = lock(path);
  if (!locked) {
    return std::unexpected(locked.error());
  }
  auto tokens = read_or_begin(path);
  if (!tokens) {
    return std::unexpected(tokens.error());
  }
  if (std::ranges::any_of(*tokens, [&](const Token& each) { return each.name == token.name; })) {
    return fail("there is a token '{}' in '{}' already; revoke it first, or choose another name",
                token.name, path);
  }
  tokens->push_back(token);
  return write(path, *tokens);
}

Result<void> remove_token(const std::string& file, const std::string& name) {
  const std::string path = real_path(file);
  const auto locked = lock(path);
  if (!locked) {
    return std::unexpected(locked.error());
  }
  auto tokens = read_tokens(path);
  if (!tokens) {
    return std::unexpected(tokens.error());
  }
  if (std::erase_if(*tokens, [&](const Token& each) { return each.name == name; }) == 0) {
    return fail("there is no token '{}' in '{}'", name, path);
  }
  return write(path, *tokens);
}

}  // namespace ensemble::control
