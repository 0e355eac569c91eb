#include "control/daemon/state_store.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>
#include <sqlite3.h>

namespace ensemble::control {
namespace {

constexpr int kSchemaVersion = 1;

constexpr const char* kSchema =
    "CREATE TABLE device (uid TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,"
    " record BLOB NOT NULL) STRICT;"
    "CREATE TABLE operation (name TEXT PRIMARY KEY, created INTEGER NOT NULL,"
    " record BLOB NOT NULL) STRICT;"
    "CREATE TABLE profile (id TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;"
    "PRAGMA user_version = 1;";

std::int64_t nanoseconds(const google::protobuf::Timestamp& time) {
  return google::protobuf::util::TimeUtil::TimestampToNanoseconds(time);
}

}  // namespace

// One prepared statement. What is bound outlives it.
class StateStore::Statement {
 public:
  Statement(sqlite3* database, const char* sql) {
    sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr);
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

  Statement& text(int at, const std::string& value) {
    sqlite3_bind_text64(statement_, at, value.data(), value.size(), SQLITE_STATIC, SQLITE_UTF8);
    return *this;
  }
  Statement& blob(int at, const std::string& value) {
    sqlite3_bind_blob64(statement_, at, value.data(), value.size(), SQLITE_STATIC);
    return *this;
  }
  Statement& number(int at, std::int64_t value) {
    sqlite3_bind_int64(statement_, at, value);
    return *this;
  }

  // SQLITE_ROW, SQLITE_DONE or an error.
  int step() { return sqlite3_step(statement_); }
  std::string bytes(int column) const {
    const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    const int size = sqlite3_column_bytes(statement_, column);
    return data == nullptr ? std::string() : std::string(data, static_cast<std::size_t>(size));
  }
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }

 private:
  sqlite3_stmt* statement_ = nullptr;
};

Result<StateStore> StateStore::open(const std::string& path, bool may_be_new) {
  sqlite3* database = nullptr;
  const int opened =
      sqlite3_open_v2(path.c_str(), &database,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW, nullptr);
  StateStore store(database);
  if (opened != SQLITE_OK) {
    return std::unexpected(store.error(fmt::format("cannot open the state file '{}'", path)));
  }
  if (auto prepared = store.prepare_schema(path, may_be_new); !prepared) {
    return std::unexpected(prepared.error());
  }
  return store;
}

StateStore::~StateStore() {
  sqlite3_close(database_);
}

// Has the file for this process alone, and looks through it.
Result<void> StateStore::take(const std::string& path) {
  const auto set = execute(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
      "BEGIN EXCLUSIVE; COMMIT;");
  std::string verdict;
  if (set) {
    Statement check(database_, "PRAGMA quick_check(1)");
    verdict = check.step() == SQLITE_ROW ? check.bytes(0) : "";
  }
  if (verdict == "ok") {
    return {};
  }
  const int code = sqlite3_errcode(database_);
  if (code == SQLITE_BUSY) {
    return fail("the state file '{}' is in use by another daemon; end that one first", path);
  }
  if (!verdict.empty() || code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
    return fail(
        "the state file '{}' is damaged ({}); restore it from a copy (devices that the copy does "
        "not know are stopped and removed), or move it away together with the directory 'devices' "
        "beside it to begin without devices",
        path, verdict.empty() ? sqlite3_errmsg(database_) : verdict);
  }
  return fail("the state file '{}' cannot be used: {}; nothing is wrong with what it holds", path,
              sqlite3_errmsg(database_));
}

Result<void> StateStore::prepare_schema(const std::string& path, bool may_be_new) {
  if (auto taken = take(path); !taken) {
    return taken;
  }
  Statement version(database_, "PRAGMA user_version");
  const std::int64_t found = version.step() == SQLITE_ROW ? version.integer(0) : -1;
  if (found > kSchemaVersion) {
    return fail(
        "the state file '{}' is of a newer version of Ensemble (format {}, this one knows {}); "
        "start that version",
        path, found, kSchemaVersion);
  }
  if (found != 0) {
    return {};
  }
  if (!may_be_new) {
    return fail(
        "the state file '{}' is new, but there are devices in the directory 'devices' beside it; "
        "restore the file from a copy, or move that directory away to begin without devices",
        path);
  }
  return execute((std::string("BEGIN;") + kSchema + "COMMIT;").c_str());
}

Result<std::vector<v1::Device>> StateStore::devices() {
  return records<v1::Device>("SELECT record FROM device ORDER BY created, rowid");
}

Result<void> StateStore::add(const v1::Device& device) {
  const std::string record = device.SerializeAsString();
  Statement statement(database_,
                      "INSERT INTO device (uid, id, created, record) VALUES (?1, ?2, ?3, ?4)");
  statement.text(1, device.uid())
      .text(2, device.name())
      .number(3, nanoseconds(device.create_time()))
      .blob(4, record);
  if (statement.step() != SQLITE_DONE) {
    return std::unexpected(error("cannot store " + device.name()));
  }
  return {};
}

Result<void> StateStore::replace(const v1::Device& device) {
  const std::string record = device.SerializeAsString();
  Statement statement(database_, "UPDATE device SET record = ?2 WHERE uid = ?1");
  if (statement.text(1, device.uid()).blob(2, record).step() != SQLITE_DONE) {
    return std::unexpected(error("cannot store " + device.name()));
  }
  if (sqlite3_changes(database_) != 1) {
    return fail("cannot store {}: it was deleted", device.name());
  }
  return {};
}

Result<void> StateStore::remove_device(const std::string& uid) {
  return remove("DELETE FROM device WHERE uid = ?1", uid);
}

Result<std::vector<v1::Operation>> StateStore::operations() {
  return records<v1::Operation>("SELECT record FROM operation ORDER BY created, rowid");
}

Result<void> StateStore::put(const v1::Operation& operation) {
  const std::string record = operation.SerializeAsString();
  Statement statement(database_,
                      "INSERT INTO operation (name, created, record) VALUES (?1, ?2, ?3)"
                      " ON CONFLICT (name) DO UPDATE SET record = ?3");
  statement.text(1, operation.name())
      .number(2, nanoseconds(operation.create_time()))
      .blob(3, record);
  if (statement.step() != SQLITE_DONE) {
    return std::unexpected(error("cannot store " + operation.name()));
  }
  return {};
}

Result<void> StateStore::remove_operations(const std::vector<std::string>& names) {
  auto done = execute("BEGIN");
  for (auto name = names.begin(); done && name != names.end(); ++name) {
    done = remove("DELETE FROM operation WHERE name = ?1", *name);
  }
  if (done) {
    done = execute("COMMIT");
  }
  if (!done) {
    (void)execute("ROLLBACK");
  }
  return done;
}

Result<std::vector<std::string>> StateStore::profile_ids() {
  std::vector<std::string> found;
  Statement statement(database_, "SELECT id FROM profile ORDER BY id");
  int result = SQLITE_ROW;
  while ((result = statement.step()) == SQLITE_ROW) {
    found.push_back(statement.bytes(0));
  }
  if (result != SQLITE_DONE) {
    return std::unexpected(error("cannot read the profiles"));
  }
  return found;
}

Result<std::optional<std::string>> StateStore::profile_text(const std::string& id) {
  Statement statement(database_, "SELECT text FROM profile WHERE id = ?1");
  const int result = statement.text(1, id).step();
  if (result == SQLITE_ROW) {
    return statement.bytes(0);
  }
  if (result != SQLITE_DONE) {
    return std::unexpected(error("cannot read the profile '" + id + "'"));
  }
  return std::nullopt;
}

Result<void> StateStore::put_profile(const std::string& id, const std::string& text) {
  Statement statement(database_,
                      "INSERT INTO profile (id, text) VALUES (?1, ?2)"
                      " ON CONFLICT (id) DO UPDATE SET text = ?2");
  if (statement.text(1, id).text(2, text).step() != SQLITE_DONE) {
    return std::unexpected(error("cannot store profile '" + id + "'"));
  }
  return {};
}

Result<void> StateStore::remove_profile(const std::string& id) {
  return remove("DELETE FROM profile WHERE id = ?1", id);
}

Result<void> StateStore::execute(const char* sql) {
  if (sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return std::unexpected(Error(sqlite3_errmsg(database_)));
  }
  return {};
}

template <typename Record>
Result<std::vector<Record>> StateStore::records(const char* sql) {
  std::vector<Record> found;
  Statement statement(database_, sql);
  int result = SQLITE_ROW;
  while ((result = statement.step()) == SQLITE_ROW) {
    Record record;
    if (!record.ParseFromString(statement.bytes(0))) {
      return fail("the state file has a record that is no {}", record.GetTypeName());
    }
    found.push_back(std::move(record));
  }
  if (result != SQLITE_DONE) {
    return std::unexpected(error("cannot read the state file"));
  }
  return found;
}

Result<void> StateStore::remove(const char* sql, const std::string& key) {
  Statement statement(database_, sql);
  if (statement.text(1, key).step() != SQLITE_DONE) {
    return std::unexpected(error("cannot remove '" + key + "' from the state file"));
  }
  return {};
}

Error StateStore::error(std::string_view what) const {
  return Error(fmt::format("{}: {}", what, sqlite3_errmsg(database_)));
}

}  // namespace ensemble::control
