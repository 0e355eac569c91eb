#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/ensemble/v1/device.pb.h"
#include "control/ensemble/v1/operations.pb.h"
#include "vmm/error.h"

struct sqlite3;

namespace ensemble::control {

// What the daemon has to know after it was killed, in one SQLite file. A change is on the disk when
// its function returns. Used by one thread.
class StateStore {
 public:
  // Opens the file, or makes it where it `may_be_new`. An Error that names the file and says what
  // to do, when it is damaged, of a newer Ensemble, in use by another daemon, cannot be written, or
  // is new and may not be.
  static Result<StateStore> open(const std::string& path, bool may_be_new);

  StateStore(StateStore&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  StateStore& operator=(StateStore&&) = delete;
  ~StateStore();

  // In the order of their creation.
  Result<std::vector<v1::Device>> devices();
  // The uid and the name are new.
  Result<void> add(const v1::Device& device);
  // The device was added, and was not removed.
  Result<void> replace(const v1::Device& device);
  Result<void> remove_device(const std::string& uid);

  Result<std::vector<v1::Operation>> operations();
  Result<void> put(const v1::Operation& operation);
  // All or none of them.
  Result<void> remove_operations(const std::vector<std::string>& names);

  // Profiles of the daemon's own.
  Result<std::vector<std::string>> profile_ids();
  Result<std::optional<std::string>> profile_text(const std::string& id);
  Result<void> put_profile(const std::string& id, const std::string& text);
  Result<void> remove_profile(const std::string& id);

 private:
  explicit StateStore(sqlite3* database) : database_(database) {}

  class Statement;
  Result<void> take(const std::string& path);
  Result<void> prepare_schema(const std::string& path, bool may_be_new);
  Result<void> execute(const char* sql);
  Error error(std::string_view what) const;
  template <typename Record>
  Result<std::vector<Record>> records(const char* sql);
  Result<void> remove(const char* sql, const std::string& key);

  sqlite3* database_;
};

}  // namespace ensemble::control
