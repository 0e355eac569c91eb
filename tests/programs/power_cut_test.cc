#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/integration/disk_image.h"
#include "tests/integration/lane.h"
#include "tests/programs/debian_root.h"

// Power cuts while SQLite writes to /data: what it said it has, it has afterwards.
namespace ensemble::programs {
namespace {

using integration::ChildProcess;
using integration::cut_power;
using integration::DiskImage;
using integration::last_number;

std::string script() {
  std::ifstream file(ENSEMBLE_SOURCE "/tests/programs/cases/power_cut.sh");
  EXPECT_TRUE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

class PowerCut : public testing::TestWithParam<const char*> {};

TEST_P(PowerCut, LosesNothingThatSqliteCommitted) {
  REQUIRE_KVM();
  REQUIRE_DEBIAN_ROOT();
  const std::chrono::seconds limit(120 * integration::patience());
  const int cuts = integration::power_cuts(integration::on_lane_s() ? 1 : 3);
  const DiskImage image(48u << 20);
  std::mt19937 random(1);
  int last = 0;
  for (int cut = 0; cut <= cuts && !HasFailure(); ++cut) {
    ChildProcess device(integration::program_directory() + "/ensemble",
                        {"run", "watch", "--rootfs", debian_root(), "--disk", image.path(), "--",
                         "/bin/dash", "-c", script(), "power_cut", GetParam()});
    const bool writes = device.read_until("synced ", limit);
    static_cast<void>(device.read_until("never", std::chrono::milliseconds(random() % 1500)));
    const std::string output = cut_power(device);
    ASSERT_TRUE(writes) << "cut " << cut << ": " << output;
    EXPECT_THAT(output, testing::HasSubstr("integrity ok\nwrong 0\n")) << "cut " << cut;
    const int highest = last_number(output, "highest ");
    EXPECT_GE(highest, last) << "cut " << cut;
    EXPECT_EQ(last_number(output, "rows "), highest) << "cut " << cut;
    last = std::max(highest, last_number(output, "synced "));
    DiskImage(image).expect_sound_after_replay();
  }
  RecordProperty("rows", last);
}

INSTANTIATE_TEST_SUITE_P(Journal, PowerCut, testing::Values("wal", "delete"),
                         [](const auto& each) { return std::string(each.param); });

// A program's stores into a mapping are there after msync.
TEST(PowerCuts, LoseNothingThatWasSyncedThroughAMapping) {
  REQUIRE_KVM();
  REQUIRE_DEBIAN_ROOT();
  const std::chrono::seconds limit(120 * integration::patience());
  const DiskImage image(24u << 20);
  ChildProcess device(integration::program_directory() + "/ensemble",
                      {"run", "watch", "--rootfs", debian_root(), "--disk", image.path(), "--",
                       "/usr/bin/python3", "-c",
                       "import mmap, os, time\n"
                       "file = os.open('/data/file', os.O_RDWR | os.O_CREAT)\n"
                       "os.ftruncate(file, 10000)\n"
                       "view = mmap.mmap(file, 10000)\n"
                       "view[:] = b'.' * 10000\n"
                       "view[:5000] = b'm' * 5000\n"
                       "view.flush()\n"
                       "print('synced', flush=True)\n"
                       "time.sleep(1000)\n"});
  ASSERT_TRUE(device.read_until("synced\n", limit));
  cut_power(device);
  const DiskImage replayed(image);
  replayed.expect_sound_after_replay();
  EXPECT_EQ(replayed.tool("debugfs", {"-R", "cat /file"}).output,
            std::string(5000, 'm') + std::string(5000, '.'));
}

}  // namespace
}  // namespace ensemble::programs
