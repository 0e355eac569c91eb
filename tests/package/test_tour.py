"""docs/tour.md: what a new user types there is there, and what needs no device prints what the tour says."""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import PATIENCE, SOURCE, ensemble, environment, run, unpacked

TOUR = (SOURCE / "docs/tour.md").read_text(encoding="utf-8")
# What a user meets in the first ten minutes.
SHOWN = {"run", "profile list", "profile validate", "doctor", "up", "ls", "exec", "push", "pull", "attach", "logs",
         "events", "inspect", "pause", "resume", "stop", "start", "rm", "top", "completion"}


def terminal():
    """[(command, what it printed)] of the tour's terminal, in its order."""
    text = "\n".join(re.findall(r"^```\n(.*?)^```$", TOUR, re.MULTILINE | re.DOTALL))
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [tuple(part.partition("\n")[::2]) for part in parts]


def words(command):
    """The words behind `ensemble`, up to what a device is to run; nothing for other commands."""
    found = re.search(r"(?:^|[|(;] ?)ensemble ([^|;)&<>]*)", command)
    return found.group(1).split(" -- ")[0].split() if found else []


def verb_of(arguments):
    return " ".join(arguments[:2] if arguments[0] == "profile" else arguments[:1])


class Tour(unittest.TestCase):
    COMMANDS = [arguments for arguments in (words(command) for command, _ in terminal()) if arguments]

    def test_it_shows_the_verbs_of_the_first_ten_minutes(self):
        self.assertEqual(SHOWN - {verb_of(arguments) for arguments in self.COMMANDS}, set())

    def test_its_verbs_and_options_exist(self):
        for arguments in self.COMMANDS:
            verb = verb_of(arguments)
            told = ensemble(*verb.split(), "--help")
            self.assertIn(f"ensemble {verb}", told)
            for option in (word.partition("=")[0] for word in arguments if word.startswith("-")):
                self.assertRegex(told, rf"(?m)^  .*(?<![\w-]){re.escape(option)}\b", f"{option} of {verb}")

    def test_it_names_no_place_of_a_build(self):
        for place in (str(SOURCE), f"{Path.home()}/"):
            self.assertNotIn(place, TOUR)

    def test_the_profile_with_a_mistake_is_told_of_as_printed(self):
        [wrong] = re.findall(r"^> (extends: .*?)^> END$", TOUR, re.MULTILINE | re.DOTALL)
        [printed] = [output for command, output in terminal() if output.startswith("ensemble: ./reader.yaml:")]
        with tempfile.TemporaryDirectory(prefix="ensemble-tour-") as folder:
            profile = Path(folder, "reader.yaml")
            profile.write_text(wrong.replace("\n> ", "\n"), encoding="utf-8")
            command = [unpacked() / "usr/bin/ensemble", "profile", "validate", "reader.yaml"]
            done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True,
                                  timeout=PATIENCE, env=environment())
            self.assertEqual((done.returncode, done.stderr), (125, printed))
            [mend] = [command for command, _ in terminal() if command.startswith("sed -i ")]
            run("sh", "-c", mend, cwd=folder)
            self.assertEqual(run(*command, cwd=folder, env=environment()), "reader.yaml is valid: Paper Reader\n")

    def test_the_profiles_are_the_installed_ones(self):
        [printed] = [output for command, output in terminal() if command == "ensemble profile list"]
        self.assertEqual(printed.strip(), ensemble("profile", "list").strip())


if __name__ == "__main__":
    unittest.main()
