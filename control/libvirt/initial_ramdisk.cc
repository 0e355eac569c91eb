#include "control/libvirt/initial_ramdisk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

#include "control/manifest_clock.h"
#include "time_stamp_counter.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;

constexpr std::uint64_t kPage = 4096;
// What a machine needs beside its files.
constexpr std::uint64_t kLeastFreeMemory = 12 << 20;
constexpr std::uint64_t kShortestMeasurement = 50'000'000;

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// A file that is written from its beginning to its end.
class Output {
 public:
  Output(std::string path, vmm::FileDescriptor file)
      : path_(std::move(path)), file_(std::move(file)) {}

  Result<void> write(const std::string& data) {
    for (std::size_t done = 0; done < data.size();) {
      const ssize_t count = ::write(file_.get(), data.data() + done, data.size() - done);
      if (count < 0) {
        return cannot_write();
      }
      done += static_cast<std::size_t>(count);
    }
    size_ += data.size();
    return pad();
  }

  Result<void> copy(const std::string& path) {
    const vmm::FileDescriptor from(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!from) {
      return std::unexpected(Error::from_errno("cannot open '" + path + "'", errno));
    }
    for (;;) {
      constexpr std::size_t kPiece = std::size_t{1} << 30;
      ssize_t count = ::copy_file_range(from.get(), nullptr, file_.get(), nullptr, kPiece, 0);
      if (count < 0 &&
          (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)) {
        count = copy_piece(from.get());
      }
      if (count < 0) {
        return cannot_write();
      }
      if (count == 0) {
        return pad();
      }
      size_ += static_cast<std::uint64_t>(count);
    }
  }

  std::uint64_t size() const { return size_; }

 private:
  ssize_t copy_piece(int from) {
    std::array<char, 65536> buffer;
    const ssize_t count = ::read(from, buffer.data(), buffer.size());
    for (ssize_t done = 0; done < count;) {
      const ssize_t written =
          ::write(file_.get(), buffer.data() + done, static_cast<std::size_t>(count - done));
      if (written < 0) {
        return -1;
      }
      done += written;
    }
    return count;
  }

  Result<void> pad() {
    size_ = (size_ + kPage - 1) / kPage * kPage;
    if (::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0 ||
        ::lseek(file_.get(), 0, SEEK_END) < 0) {
      return cannot_write();
    }
    return {};
  }

  std::unexpected<Error> cannot_write() const {
    return std::unexpected(Error::from_errno("cannot write '" + path_ + "'", errno));
  }

  std::string path_;
  vmm::FileDescriptor file_;
  std::uint64_t size_ = 0;
};

const proto::Module* find(const proto::Configuration& configuration, const char* name) {
  for (const proto::Module& module : configuration.modules()) {
    if (module.name() == name) {
      return &module;
    }
  }
  return nullptr;
}

Result<void> write_modules(const proto::Configuration& configuration, const std::string& manifest,
                           Output& output) {
  const proto::Module* const boot = find(configuration, "boot");
  if (boot == nullptr) {
    return fail("QEMU runs devices with Ensemble's boot package only, and there is none");
  }
  auto done = output.copy(boot->copied_file());
  if (done) {
    done = output.write(manifest);
  }
  const proto::Module* const root = find(configuration, "root");
  if (done && root != nullptr) {
    done = output.copy(root->mapped_file());
  }
  return done;
}

}  // namespace

ClockMeasurement ClockMeasurement::begin() {
  ClockMeasurement measurement;
  measurement.nanoseconds_ = monotonic_ns();
  measurement.ticks_ = vmm::read_time_stamp_counter();
  return measurement;
}

std::uint64_t ClockMeasurement::frequency() const {
  std::uint64_t passed = monotonic_ns() - nanoseconds_;
  if (passed < kShortestMeasurement) {
    const timespec rest{.tv_sec = 0, .tv_nsec = static_cast<long>(kShortestMeasurement - passed)};
    ::nanosleep(&rest, nullptr);
  }
  passed = monotonic_ns() - nanoseconds_;
  const std::uint64_t ticks = vmm::read_time_stamp_counter() - ticks_;
  const double hertz = static_cast<double>(ticks) * 1e9 / static_cast<double>(passed);
  return static_cast<std::uint64_t>(hertz);
}

Result<void> write_initial_ramdisk(const proto::Configuration& configuration,
                                   std::uint64_t clock_frequency, const std::string& path) {
  std::string manifest = configuration.manifest();
  if (auto set = set_clock_frequency(manifest, clock_frequency); !set) {
    return set;
  }
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    return fail("'{}' is not a regular file, and is not replaced by one", path);
  }
  // A new file, since QEMU may still be reading an old one, which stays unless this one is whole.
  const std::string part = path + ".part";
  ::unlink(part.c_str());
  vmm::FileDescriptor file(
      ::open(part.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file) {
    return std::unexpected(Error::from_errno("cannot make '" + part + "'", errno));
  }
  Output output(path, std::move(file));
  auto written = write_modules(configuration, manifest, output);
  if (written && output.size() + kLeastFreeMemory > configuration.memory_bytes()) {
    written = fail(
        "the device has {} MiB of memory, and QEMU puts its files into it: they take {} MiB, so "
        "that it needs at least {}M",
        configuration.memory_bytes() >> 20, (output.size() >> 20) + 1,
        ((output.size() + kLeastFreeMemory) >> 20) + 2);
  }
  if (written && ::rename(part.c_str(), path.c_str()) != 0) {
    written = std::unexpected(Error::from_errno("cannot make '" + path + "'", errno));
  }
  if (!written) {
    ::unlink(part.c_str());
  }
  return written;
}

}  // namespace ensemble::control
