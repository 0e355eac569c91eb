#include "device-model/profile_loader.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <set>
#include <system_error>

#include "device-model/profile_schema.h"
#include "device-model/schema.h"
#include "device-model/yaml_tree.h"
#include "vmm/file_descriptor.h"

namespace ensemble::device {
namespace {

namespace fs = std::filesystem;

using SearchPath = std::vector<fs::path>;

constexpr std::size_t kMaximumInheritance = 16;

bool is_path(const std::string& name) {
  return name.find('/') != std::string::npos || name.ends_with(".yaml") || name.ends_with(".yml");
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored) && !fs::is_directory(path, ignored);
}

// The whole of a regular file. One that is too large is read as far as parse_yaml() needs to reject
// it; a pipe or device, which may never end, is refused.
Result<std::string> read_file(const fs::path& path) {
  const vmm::FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status = {};
  if (!file || ::fstat(file.get(), &status) != 0) {
    return std::unexpected(Error::from_errno("cannot open profile " + path.string(), errno));
  }
  if (!S_ISREG(status.st_mode)) {
    return fail("cannot read profile {}: it is not a regular file", path.string());
  }
  std::string text(kMaximumYamlBytes + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return std::unexpected(Error::from_errno("cannot read profile " + path.string(), errno));
    }
    if (got == 0) {
      break;
    }
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return text;
}

// The names that can be given instead of a path.
std::vector<std::string> known_names(const SearchPath& search_path) {
  std::vector<std::string> names;
  for (const ProfileEntry& entry : list_profiles(search_path)) {
    names.push_back(entry.name);
  }
  return names;
}

Result<fs::path> find_by_name(const std::string& name, const SearchPath& folders) {
  for (const fs::path& folder : folders) {
    const fs::path candidate = folder / (name + ".yaml");
    if (is_file(candidate)) {
      return candidate;
    }
  }
  const std::vector<std::string> names = known_names(folders);
  if (names.empty()) {
    return fail(
        "unknown profile '{}', and no profiles were found; set ENSEMBLE_PROFILES_DIR to "
        "their folder, or name a file",
        name);
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  return fail("{}, or the path of a YAML file", schema::describe_unknown("profile", name, views));
}

// A document whose ancestors are merged into it.
class Inheritance {
 public:
  // `own`: as of parse_foreign_profile(), or null.
  explicit Inheritance(const SearchPath& search_path, const ProfileTexts* own = nullptr)
      : search_path_(search_path), own_(own) {}

  Result<YamlNode> load(const fs::path& path) {
    const Result<std::string> text = read_file(path);
    return text ? merge(*text, path) : std::unexpected(text.error());
  }

  // The text of a profile that is no file.
  Result<YamlNode> merge_own(const std::string& text, const std::string& name) {
    own_seen_.insert(name);
    return merge(text, name + ".yaml", true);
  }

  Result<YamlNode> merge(const std::string& text, const fs::path& path, bool is_own = false) {
    Result<YamlNode> document = parse_yaml(text, path.string());
    if (!document) {
      return document;
    }
    const YamlNode* extends = document->find("extends");
    if (extends == nullptr) {
      return document;
    }
    chain_.push_back(path);
    const YamlNode parent_name = *extends;
    document->erase("extends");
    Result<YamlNode> parent = load_parent(parent_name, path, is_own);
    if (!parent) {
      return parent;
    }
    parent->erase("abstract");
    return merge_yaml(*std::move(parent), *document);
  }

 private:
  Result<YamlNode> load_parent(const YamlNode& name, const fs::path& child, bool child_is_own) {
    const Result<std::string> word = schema::read_text(name, "the name or path of a profile");
    if (!word) {
      return std::unexpected(word.error());
    }
    if (child_is_own && is_path(*word)) {
      return fail_at(name.location,
                     fmt::format("extends is '{}', expected the name of a profile", *word));
    }
    // A name that was seen is that of an installed profile, which a text may hide and extend.
    if (child_is_own && !own_seen_.contains(*word) && chain_.size() < kMaximumInheritance) {
      if (const auto text = (*own_)(*word)) {
        return merge_own(*text, *word);
      }
    }
    const Result<fs::path> parent =
        child_is_own ? find_by_name(*word, search_path_) : find(*word, child.parent_path());
    if (!parent) {
      return fail_at(name.location, parent.error().message());
    }
    for (const fs::path& ancestor : chain_) {
      std::error_code ignored;
      if (fs::equivalent(ancestor, *parent, ignored)) {
        return fail_at(name.location, fmt::format("profiles extend each other in a circle: {}",
                                                  describe_chain(*parent)));
      }
    }
    if (chain_.size() >= kMaximumInheritance) {
      return fail_at(name.location, fmt::format("more than {} profiles extend each other: {}",
                                                kMaximumInheritance, describe_chain(*parent)));
    }
    Result<YamlNode> document = load(*parent);
    if (!document && document.error().error_number() != 0) {
      return fail_at(name.location, document.error().message());
    }
    return document;
  }

  Result<fs::path> find(const std::string& word, const fs::path& folder) const {
    if (is_path(word)) {
      return folder / word;
    }
    SearchPath folders = {folder.empty() ? fs::path(".") : folder};
    folders.insert(folders.end(), search_path_.begin(), search_path_.end());
    return find_by_name(word, folders);
  }

  std::string describe_chain(const fs::path& last) const {
    std::vector<std::string> files;
    for (const fs::path& path : chain_) {
      files.push_back(path.string());
    }
    files.push_back(last.string());
    return fmt::format("{}", fmt::join(files, " -> "));
  }

  const SearchPath& search_path_;
  const ProfileTexts* own_;
  std::set<std::string> own_seen_;
  std::vector<fs::path> chain_;
};

// The profile's name: that of its file, in the characters that a device tree's "compatible" takes.
std::string name_of(const fs::path& path) {
  constexpr std::size_t kLongest = 31;
  std::string name = path.stem().string().substr(0, kLongest);
  for (char& character : name) {
    if (character >= 'A' && character <= 'Z') {
      character = static_cast<char>(character - 'A' + 'a');
    } else if (!(character >= 'a' && character <= 'z') && !(character >= '0' && character <= '9')) {
      character = '-';
    }
  }
  return name;
}

Result<Profile> finish(const Result<YamlNode>& document, const fs::path& path) {
  if (!document) {
    return std::unexpected(document.error());
  }
  Result<Profile> profile = read_profile(*document);
  if (!profile) {
    return profile;
  }
  if (profile->abstract) {
    return fail("profile {} is abstract: it is there to be extended by other profiles",
                path.string());
  }
  profile->name = name_of(path);
  profile->path = path.string();
  return profile;
}

bool is_abstract(const fs::path& path) {
  const Result<std::string> text = read_file(path);
  const Result<YamlNode> document =
      text ? parse_yaml(*text, path.string()) : Result<YamlNode>(std::unexpected(text.error()));
  const YamlNode* abstract = document ? document->find("abstract") : nullptr;
  return abstract != nullptr && abstract->scalar == "true";
}

}  // namespace

SearchPath profile_search_path() {
  SearchPath folders;
  const auto add = [&folders](const fs::path& folder) {
    std::error_code ignored;
    if (fs::is_directory(folder, ignored)) {
      folders.push_back(folder);
    }
  };
  if (const char* chosen = std::getenv("ENSEMBLE_PROFILES_DIR"); chosen != nullptr) {
    add(chosen);
  }
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    const std::size_t before = folders.size();
    add(program.parent_path().parent_path() / "share" / "ensemble" / "profiles");
    if (folders.size() > before) {
      return folders;  // An installation has nothing to do with the folder that it was built in.
    }
  }
  add(ENSEMBLE_DEFAULT_PROFILES_DIRECTORY);
  return folders;
}

Result<Profile> load_profile(const std::string& name_or_path, const SearchPath& search_path) {
  const Result<fs::path> path = is_path(name_or_path) ? Result<fs::path>(name_or_path)
                                                      : find_by_name(name_or_path, search_path);
  if (!path) {
    return std::unexpected(path.error());
  }
  return finish(Inheritance(search_path).load(*path), *path);
}

Result<Profile> parse_profile(const std::string& text, const fs::path& label,
                              const SearchPath& search_path) {
  return finish(Inheritance(search_path).merge(text, label), label);
}

Result<Profile> parse_foreign_profile(const std::string& text, const std::string& name,
                                      const ProfileTexts& own, const SearchPath& search_path) {
  return finish(Inheritance(search_path, &own).merge_own(text, name), name + ".yaml");
}

Result<fs::path> find_profile(const std::string& name, const SearchPath& search_path) {
  return find_by_name(name, search_path);
}

std::vector<ProfileEntry> list_profiles(const SearchPath& search_path) {
  std::map<std::string, fs::path> found;
  for (const fs::path& folder : search_path) {
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
      if (entry->path().extension() == ".yaml" && is_file(entry->path())) {
        found.try_emplace(entry->path().stem().string(), entry->path());
      }
    }
  }
  std::vector<ProfileEntry> profiles;
  for (auto& [name, path] : found) {
    if (!is_abstract(path)) {
      profiles.push_back({.name = name, .path = std::move(path)});
    }
  }
  return profiles;
}

}  // namespace ensemble::device
