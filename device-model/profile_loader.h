#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "device-model/profile.h"
#include "vmm/error.h"

namespace ensemble::device {

// Where profiles named without a path are looked for, in this order: the folder that the
// environment variable ENSEMBLE_PROFILES_DIR names; ../share/ensemble/profiles as seen from the
// running program; the folder that the build was configured with. Folders that do not exist are
// left out.
std::vector<std::filesystem::path> profile_search_path();

// Loads the profile called `name_or_path`: a path to a YAML file if it holds a '/' or ends in
// ".yaml" or ".yml", else a name that is looked up in `search_path`.
//
// `extends: WORD` in a profile is resolved the same way, a path being relative to the file that
// says it, a name being looked for beside that file first. Errors name file, line and column; a
// cycle of inheritance is shown as the chain of files. Reads files; any thread.
Result<Profile> load_profile(
    const std::string& name_or_path,
    const std::vector<std::filesystem::path>& search_path = profile_search_path());

// As load_profile, for a document that lies in memory. `label` stands for the file in errors, and
// `extends` is resolved from the folder of that path.
Result<Profile> parse_profile(
    const std::string& text, const std::filesystem::path& label,
    const std::vector<std::filesystem::path>& search_path = profile_search_path());

// As parse_profile, for a text whose author may not have this process read files: `extends` takes
// no path. A name is asked of `own` first, which gives the text of a profile like this one, if
// there is one, and each name once only; then it is looked up in `search_path`.
using ProfileTexts = std::function<std::optional<std::string>(const std::string& name)>;
Result<Profile> parse_foreign_profile(
    const std::string& text, const std::string& name, const ProfileTexts& own,
    const std::vector<std::filesystem::path>& search_path = profile_search_path());

// The file that a name stands for. The Error names those that there are.
Result<std::filesystem::path> find_profile(
    const std::string& name,
    const std::vector<std::filesystem::path>& search_path = profile_search_path());

// A line of `ensemble profile list`.
struct ProfileEntry {
  std::string name;
  std::filesystem::path path;
};

// The profiles of `search_path` that can be run (abstract ones are left out), by name. A file of
// the same name in an earlier folder hides later ones. A broken file is listed: load_profile says
// what is wrong with it.
std::vector<ProfileEntry> list_profiles(
    const std::vector<std::filesystem::path>& search_path = profile_search_path());

}  // namespace ensemble::device
