"""What a hand does to devices arrives as events of /dev/input. Lane P, with the real guest."""

import os
import struct
import subprocess

import grpc

from ensemble.v1 import input_pb2
from exec_test import Run
from harness import PATIENCE, DaemonTest, eventually

PROGRAM = os.environ["ENSEMBLE"]
EVENT = struct.Struct("<qqHHi")
SYN, KEY, REL, ABS = range(4)
SIDE, TOUCH = 0x244, 0x14A
WHEEL, WHEEL_HIGH_RESOLUTION = 8, 11
X, Y, SLOT, PLACE_X, PLACE_Y, TRACKING_ID = 0, 1, 47, 53, 54, 57
END = (SYN, 0, 0)


class Events:
    """What comes from an input device of a running one, for a program that reads so many events."""

    def __init__(self, client, number, count):
        self.run = Run(client, "sh", "-c", f"exec 3</dev/input/event{number}; echo ready; "
                                           f"exec head -c {count * EVENT.size} <&3")
        eventually(lambda: self.run.out.startswith(b"ready\n"))

    def wait(self):
        assert self.run.code() == 0, self.run.err
        return [event[2:] for event in EVENT.iter_unpack(self.run.out.removeprefix(b"ready\n"))]


class Hands(DaemonTest):
    def start_daemon(self, *arguments, **_):
        super().start_daemon(*arguments, guest=None)

    def setUp(self):
        super().setUp()
        self.client.running("one", path="", memory_bytes=128 << 20)

    def send(self, **action):
        self.client.input.SendInput(input_pb2.SendInputRequest(name="devices/one", **action), timeout=PATIENCE)

    def program(self, *arguments, code=0):
        done = subprocess.run([PROGRAM, "input", *arguments], capture_output=True, text=True, timeout=PATIENCE,
                              env={**os.environ, "ENSEMBLE_SOCKET": str(self.socket)}, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stderr

    def test_keys(self):
        events = Events(self.client, 0, 4)
        self.program("one", "key", "side", "--milliseconds", "1")
        self.assertEqual(events.wait(), [(KEY, SIDE, 1), END, (KEY, SIDE, 0), END])

    def test_touches(self):
        events = Events(self.client, 1, 9)
        self.program("one", "tap", "40", "449")
        down, up = events.wait()[:7], events.wait()[7:]
        self.assertEqual([event for event in down if event[1] != TRACKING_ID],
                         [(ABS, PLACE_X, 40), (ABS, PLACE_Y, 449), (ABS, X, 40), (ABS, Y, 449), (KEY, TOUCH, 1), END])
        self.assertEqual(up, [(ABS, TRACKING_ID, -1), (KEY, TOUCH, 0)])
        place = input_pb2.TouchInput.Place
        events = Events(self.client, 1, 5)
        self.send(touch=input_pb2.TouchInput(contact=1, place=place(x=7, y=8)))
        self.assertEqual([event for event in events.wait() if event[1] != TRACKING_ID],
                         [(ABS, SLOT, 1), (ABS, PLACE_X, 7), (ABS, PLACE_Y, 8), (KEY, TOUCH, 1)])

    def test_a_swipe_ends_where_it_should(self):
        events = Events(self.client, 1, 25)
        self.program("one", "swipe", "10", "400", "300", "20", "--milliseconds", "50")
        told = events.wait()
        self.assertEqual([event[2] for event in told if event[:2] == (ABS, PLACE_X)], [10, 106, 203, 300])
        self.assertEqual([event[2] for event in told if event[:2] == (ABS, PLACE_Y)], [400, 274, 147, 20])
        self.assertEqual(told[-3:], [(ABS, TRACKING_ID, -1), (KEY, TOUCH, 0), END])

    def test_the_crown(self):
        events = Events(self.client, 2, 3)
        self.program("one", "rotate", "-3")
        self.assertEqual(events.wait(), [(REL, WHEEL, -3), (REL, WHEEL_HIGH_RESOLUTION, -360), END])

    def test_what_is_held_is_told_to_who_looks_later(self):
        self.send(key=input_pb2.KeyInput(key="side", down=True))
        events = Events(self.client, 0, 2)
        self.send(key=input_pb2.KeyInput(key="side", down=False))
        self.assertEqual(events.wait(), [(KEY, SIDE, 0), END])

    def test_bad_values_are_refused_with_what_is_right(self):
        self.assertIn("the device has no key 'power'; it has side", self.program("one", "key", "power", code=125))
        self.assertIn("x 450 is out of range; it is 0 to 449", self.program("one", "tap", "450", "0", code=125))
        self.assertIn("the device has no switch 'lid'", self.program("one", "switch", "lid", "on", code=125))
        self.assertIn("1001 detents are out of range", self.program("one", "rotate", "1001", code=125))
        self.assertIn("--milliseconds", self.program("one", "tap", "1", "1", "--milliseconds", "60001", code=125))
        self.assertIn("there is no device", self.program("two", "tap", "1", "1", code=125))
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, "contact 2 is out of range", reason="INPUT_REFUSED"):
            self.send(touch=input_pb2.TouchInput(contact=2))
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, field="input"):
            self.send()
        self.client.stop("devices/one")
        with self.refused(grpc.StatusCode.FAILED_PRECONDITION, reason="WRONG_STATE"):
            self.send(rotary=input_pb2.RotaryInput(detents=1))


class ManyDrivers(DaemonTest):
    def start_daemon(self, *arguments, **_):
        super().start_daemon(*arguments, guest=None)

    def test_each_has_a_domain_of_its_own_beside_the_agent(self):
        self.client.running("one", path="", profile="tablet", memory_bytes=128 << 20)
        for number, name in enumerate(("buttons", "touch screen", "keyboard dock")):
            self.assertEqual(Run(self.client, "sh", "-c", f"exec 3</dev/input/event{number}").code(), 0, name)
