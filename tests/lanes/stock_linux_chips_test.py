"""Debian's stock kernel as the judge of the chips on lane S: its drivers, which nobody here wrote, and its programs.

Each product is a guest's hardware once. The guest tells which driver has taken which device, and what
Debian's programs read of the chips; that is compared with the world that the product is in, to the chips'
resolution. Elsewhere the test ends with 77, which CTest counts as skipped: it needs hardware KVM and the
files of scripts/lane-hw.
"""

import datetime
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

SKIPPED = 77
LIMIT = 160
# Without what takes an emulated processor long: a search for a PCI bus, and tests of ciphers.
APPEND = "console=ttyS0 quiet mitigations=off pci=off cryptomgr.notests"
FREEZING = 273.15
WORLD = {
    "acceleration.x": 1.5, "acceleration.y": -2.5, "acceleration.z": 9.25,
    "angular-velocity.x": 0.75, "angular-velocity.y": -0.5, "angular-velocity.z": 0.25,
    "magnetic-field.x": 21e-6, "magnetic-field.y": -33e-6, "magnetic-field.z": 12e-6,
    "illuminance": 420, "proximity": 0.05, "pressure": 99000, "temperature": FREEZING + 31.5,
    "battery-voltage": 3.91, "battery-current": 0.35, "battery-level": 0.62,
    "battery-temperature": FREEZING + 33, "supply-voltage": 5,
}

# Devices by their ACPI path: bus, ID, and the driver that is to take it; "": Debian has none. The power button's
# driver takes the ACPI device itself.
CONTROLLERS = {
    "\\_SB_.GED_": ("platform", "ACPI0013", "acpi-ged"),
    "\\_SB_.PWRB": ("platform", "PNP0C0C", ""),
    "\\_SB_.COM1": ("pnp", "PNP0501", "serial"),
    "\\_SB_.RTC_": ("pnp", "PNP0B00", "rtc_cmos"),
    "\\_SB_.GPI0": ("platform", "AMDI0030", "amd_gpio"),
    "\\_SB_.I2C0": ("platform", "AMDI0010", "i2c_designware"),
}
CHIPS = {
    "ak09912": ("0C", "AK09912", "ak8975"),
    "bmc150": ("10", "BOSC0200", "bmc150_accel_i2c"),
    "bmi160": ("68", "BMI0160", "bmi160_i2c"),
    "bmp380": ("77", "PRP0001", "bmp280"),
    "bq24190": ("6A", "PRP0001", "bq24190-charger"),
    "drv2605l": ("5A", "PRP0001", ""),
    "lps22hb": ("5C", "PRP0001", "st-press-i2c"),
    "lsm6dso": ("6B", "PRP0001", "st_lsm6dsx_i2c"),
    "ltr559": ("23", "LTER0559", "ltr501"),
    "max17047": ("36", "MAX17047", "max17042"),
    "max30102": ("57", "PRP0001", ""),
    "stk3310": ("48", "STK3310", "stk3310"),
    "vcnl4000": ("13", "PRP0001", "vcnl4000"),
}
PRODUCTS = {
    "phone": ("ak09912", "bmi160", "bmp380", "bq24190", "drv2605l", "max17047", "stk3310"),
    "tablet": ("ak09912", "bmc150", "bq24190", "lsm6dso", "ltr559", "max17047", "vcnl4000"),
    "watch": ("ak09912", "drv2605l", "lps22hb", "lsm6dso", "ltr559", "max17047", "max30102"),
}
VIRTIO_DEVICES = {"phone": 5, "tablet": 6, "watch": 6}
# Input devices that evdev is to take: buttons, touch screen, dock or crown; and keys that Linux is to know.
INPUTS = {"phone": 2, "tablet": 3, "watch": 3}
VOLUME_DOWN, VOLUME_UP, POWER, TOUCH = 114, 115, 116, 0x14A
KEYS = {"phone": (VOLUME_DOWN, VOLUME_UP, POWER, TOUCH), "tablet": (VOLUME_DOWN, VOLUME_UP, POWER, TOUCH),
        "watch": (TOUCH,)}
FULL_CHARGE = {"phone": 4600, "tablet": 7000, "watch": 306}  # mAh


def axes(channel, quantity, factor=1.0):
    return {f"{channel}_{axis}": WORLD[f"{quantity}.{axis}"] * factor for axis in "xyz"}


GAUSS = 1e4  # In a tesla.
CELSIUS = (WORLD["temperature"] - FREEZING) * 1000
KILOPASCAL = WORLD["pressure"] / 1000
# What a device of the Industrial I/O subsystem is to read, by channel, in its units: m/s², rad/s, G, lx,
# m°C, kPa.
READINGS = {
    "ak09912": {"i2c-AK09912:00": axes("magn", "magnetic-field", GAUSS)},
    "bmc150": {"BMA253/BMA254/BMA255/BMC150/BMC156/BMI055": axes("accel", "acceleration")},
    "bmi160": {"i2c-BMI0160:00": axes("accel", "acceleration") | axes("anglvel", "angular-velocity")},
    "bmp380": {"bmp380": {"pressure": KILOPASCAL, "temp": CELSIUS}},
    "lps22hb": {"lps22hb": {"pressure": KILOPASCAL, "temp": CELSIUS}},
    "lsm6dso": {"lsm6dso_accel": axes("accel", "acceleration"), "lsm6dso_gyro": axes("anglvel", "angular-velocity")},
    "ltr559": {"i2c-LTER0559:00": {"illuminance": WORLD["illuminance"]}},
    "stk3310": {"stk3310": {"illuminance": WORLD["illuminance"]}},
    "vcnl4000": {"vcnl4000": {"illuminance": WORLD["illuminance"]}},
}
# Where Linux computes the value: the chip's resolution in those units.
RESOLUTION = {("bmp380", "pressure"): 0.003, ("bmp380", "temp"): 10, ("i2c-LTER0559:00", "illuminance"): 3}
# How far the scales that Linux prints are rounded, as a part of the value.
SCALE_ERRORS = {"accel": 1e-3, "anglvel": 1e-3}
SMALLEST_SCALE_ERROR = 1e-5
# Counts that the models give: nearness has no unit, and Linux 6.1 adds to the temperature of this chip an
# offset in steps of its scale that it means in degrees (the data sheet: 24 °C, half a degree each step).
COUNTS = {
    "bmc150": ("BMA253/BMA254/BMA255/BMC150/BMC156/BMI055", "temp", (CELSIUS / 1000 - 24) / 0.5),
    "ltr559": ("i2c-LTER0559:00", "proximity", 2047 * (0.02 / WORLD["proximity"]) ** 2),
    "stk3310": ("stk3310", "proximity", 1000 * (0.05 / WORLD["proximity"]) ** 2),
    "vcnl4000": ("vcnl4000", "proximity", 2000 * (0.05 / WORLD["proximity"]) ** 2),
}
CHARGER = {"TYPE": "USB", "ONLINE": "1", "STATUS": "Charging", "HEALTH": "Good", "MODEL_NAME": "bq24190",
           "MANUFACTURER": "Texas Instruments"}


def sections(output):
    """The parts of what the guest told, as lists of lines."""
    parts, lines = {}, []
    for line in output.splitlines():
        if line.startswith("== "):
            lines = parts.setdefault(line[3:].strip(), [])
        else:
            lines.append(line)
    return parts


def iio_channels(lines):
    """What iio_info printed: attributes by device and channel."""
    devices, channels, attributes = {}, {}, {}
    for line in lines:
        if match := re.match(r"\t(?:iio:device|trigger)\d+: (\S+)", line):
            channels = devices.setdefault(match.group(1), {})
        elif match := re.match(r"\t\t\t(\w+):  \(", line):
            attributes = channels.setdefault(match.group(1), {})
        elif match := re.match(r"\t\t\t\tattr +\d+: (\S+) value: (.*\S)", line):
            attributes[match.group(1)] = match.group(2)
        elif re.match(r"\t\t\S", line):
            attributes = {}
    return devices


class StockLinuxChips(unittest.TestCase):
    def run_product(self, product):
        stock = Path(os.environ["ENSEMBLE_STOCK_LINUX"])
        with tempfile.TemporaryDirectory() as folder:
            world = Path(folder, "world.csv")
            world.write_text(",".join(["time", *WORLD]) + "\n" + ",".join(map(str, [0, *WORLD.values()])) + "\n",
                             encoding="utf-8")
            done = subprocess.run(
                [os.environ["ENSEMBLE"], "run", product, "--cpus", "1", "--memory", "384M", "--network", "none",
                 "--world", world, "--kernel", stock / "vmlinuz", "--initrd", stock / "chips.cpio", "--append", APPEND],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        parts = sections(done.stdout)
        self.assertIn("end", parts, done.stdout)
        self.assertEqual(parts["complaints"], [])
        return parts

    maxDiff = None

    def check_bindings(self, product, lines):
        expected = dict(CONTROLLERS)
        for number in range(VIRTIO_DEVICES[product]):
            expected[f"\\_SB_.VR{number:02X}"] = ("platform", "LNRO0005", "virtio-mmio")
        for chip in PRODUCTS[product]:
            address, identity, driver = CHIPS[chip]
            expected[f"\\_SB_.I2C0.CH{address}"] = ("i2c", identity, driver)
        found = {}
        for line in lines:
            bus, path, identity, *driver = line.split()
            found[path] = (bus, identity, driver[0] if driver else "")
        self.assertEqual(found, expected)

    def check_readings(self, product, devices):
        for chip in PRODUCTS[product]:
            for device, channels in READINGS.get(chip, {}).items():
                for channel, expected in channels.items():
                    attributes = devices.get(device, {}).get(channel)
                    self.assertIsNotNone(attributes, f"{chip}: {device} has no {channel}; there are {devices}")
                    resolution, scale_error = RESOLUTION.get((device, channel), 0), 0
                    if "input" in attributes:
                        value = float(attributes["input"])
                    else:
                        scale = float(attributes["scale"])
                        value = (float(attributes["raw"]) + float(attributes.get("offset", 0))) * scale
                        resolution = scale
                        scale_error = SCALE_ERRORS.get(channel.split("_", 1)[0], SMALLEST_SCALE_ERROR)
                    allowed = resolution + scale_error * abs(expected)
                    print(f"{product} {chip} {channel}: {value:g}, expected {expected:g} within {allowed:g}")
                    self.assertLessEqual(abs(value - expected), allowed, f"{chip}: {device} {channel}")
            if chip in COUNTS:
                device, channel, counts = COUNTS[chip]
                print(f"{product} {chip} {channel}: {devices[device][channel]['raw']}, expected {counts:g}")
                self.assertAlmostEqual(int(devices[device][channel]["raw"]), counts, delta=0.5)

    def check_supplies(self, product, parts):
        def read(name):
            pairs = (line.strip().split("=", 1) for line in parts[f"supply {name}"])
            return {key.removeprefix("POWER_SUPPLY_"): value for key, value in pairs}

        gauge = read("max170xx_battery")
        full = FULL_CHARGE[product] * 1000
        # In µV, µA, µAh, tenths of a degree.
        for name, expected, resolution in (
                ("VOLTAGE_NOW", WORLD["battery-voltage"] * 1e6, 79), ("CURRENT_NOW", WORLD["battery-current"] * 1e6, 157),
                ("CURRENT_AVG", WORLD["battery-current"] * 1e6, 157), ("CAPACITY", WORLD["battery-level"] * 100, 1),
                ("CHARGE_FULL", full, 500), ("CHARGE_NOW", full * WORLD["battery-level"], 500),
                ("TEMP", (WORLD["battery-temperature"] - FREEZING) * 10, 1)):
            print(f"{product} max17047 {name}: {gauge[name]}, expected {expected:g} within {resolution}")
            self.assertLessEqual(abs(int(gauge[name]) - expected), resolution, f"max17047: {name}")
        if "bq24190" in PRODUCTS[product]:
            charger = read("bq24190-charger")
            self.assertEqual({name: charger.get(name) for name in CHARGER}, CHARGER)

    def check_inputs(self, product, lines):
        handled = [line for line in lines if re.match(r"H: Handlers=.*\bevent\d", line)]
        self.assertEqual(len(handled), INPUTS[product], "\n".join(lines))
        keys = set()
        for line in lines:
            if match := re.match(r"B: KEY=([0-9a-f ]+)", line):
                bits = int("".join(word.zfill(16) for word in match.group(1).split()), 16)
                keys |= {code for code in range(bits.bit_length()) if bits >> code & 1}
        for key in KEYS[product]:
            self.assertIn(key, keys, "\n".join(lines))

    def check_clock(self, lines, before, after):
        shown = datetime.datetime.fromisoformat(lines[0]).timestamp()
        self.assertTrue(before - 1 <= shown <= after, f"{lines[0]} is not between {before} and {after}")
        # hwclock waits for the clock's update interrupt.
        self.assertGreater(int(lines[1].split()[1]), 0)

    def judge(self, product):
        before = time.time()
        parts = self.run_product(product)
        self.check_inputs(product, parts["inputs"])
        self.check_clock(parts["clock"], before, time.time())
        self.check_bindings(product, parts["devices"])
        self.check_readings(product, iio_channels(parts["sensors"]))
        self.check_supplies(product, parts)

    def test_takes_the_chips_of_a_phone(self):
        self.judge("phone")

    def test_takes_the_chips_of_a_tablet(self):
        self.judge("tablet")

    def test_takes_the_chips_of_a_watch(self):
        self.judge("watch")


if __name__ == "__main__":
    if os.environ.get("ENSEMBLE_LANE") != "s":
        print("needs hardware KVM and the files of scripts/lane-hw")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
