"""Help, manual pages and completions: every verb has them, and real shells take them."""

import gzip
import re
import shutil
import subprocess
import unittest

from harness import PATIENCE, SOURCE, ensemble, environment, run, unpacked

COMPLETIONS = {"bash": "bash-completion/completions/ensemble", "zsh": "zsh/vendor-completions/_ensemble",
               "fish": "fish/vendor_completions.d/ensemble.fish"}


def share(path):
    return unpacked() / "usr/share" / path


def verbs():
    """The verbs that `ensemble --help` lists, with what it says of them."""
    listing = ensemble("--help").split("Subcommands:")[1].split("\nExamples:")[0]
    return dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", listing, re.MULTILINE))


def options(verb):
    return set(re.findall(r"^  .*?(--[a-z-]+)\b", ensemble(*verb.split(), "--help"), re.MULTILINE)) - {"--version"}


def page(name):
    with gzip.open(share(f"man/{name}"), "rt", encoding="utf-8") as file:
        return file.read()


class EveryVerb(unittest.TestCase):
    def test_there_are_verbs(self):
        self.assertLessEqual({"run", "up", "ls", "rm", "profile", "completion"}, set(verbs()))

    def test_has_help(self):
        for verb in verbs():
            text = ensemble(verb, "--help")
            self.assertIn(f"ensemble {verb}", text)

    def test_has_its_part_of_the_manual_with_all_options(self):
        manual = page("man1/ensemble.1.gz").replace("\\-", "-")
        parts = {part.split("\n")[0]: part for part in manual.split("\n.SS ")}
        common = manual.split("\n.SS ")[0]
        for verb in verbs():
            self.assertIn(f"ensemble {verb}", parts)
            for option in options(verb):
                # Those that several verbs have are told once, before the verbs.
                self.assertIn(option, common + parts[f"ensemble {verb}"], verb)

    def test_is_completed_in_each_shell(self):
        for shell, path in COMPLETIONS.items():
            script = share(path).read_text(encoding="utf-8")
            self.assertEqual(script, ensemble("completion", shell))
            for verb in verbs():
                self.assertRegex(script, rf"(?:ensemble {verb}\b|-a {verb}\b)", f"{verb} in {shell}")


class Manual(unittest.TestCase):
    PAGES = ("man1/ensemble.1.gz", "man8/ensembled.8.gz", "man8/ensemble-vmm.8.gz")

    def test_every_program_has_a_page(self):
        for program in (unpacked() / "usr/bin").iterdir():
            section = 1 if program.name in ("ensemble", "ensemble-client") else 8
            self.assertIn(".TH", page(f"man{section}/{program.name}.{section}.gz"))

    def test_the_page_written_by_hand_has_the_options_of_its_program(self):
        source = (SOURCE / "control/device_process_main.cc").read_text(encoding="utf-8")
        taken = set(re.findall(r'= "(--[a-z-]+)="', source))
        told = set(re.findall(r"^\\fB(--[a-z-]+)=", page(self.PAGES[2]).replace("\\-", "-"), re.MULTILINE))
        self.assertEqual((told, bool(taken)), (taken, True))

    def test_groff_has_no_warning(self):
        for name in self.PAGES:
            done = subprocess.run(
                ["man", "--warnings", "-l", share(f"man/{name}")], check=False, capture_output=True, text=True,
                timeout=PATIENCE, env=environment(LC_ALL="C.UTF-8", MANWIDTH="80", MANROFFSEQ=""))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("NAME", done.stdout)

    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not installed")
    def test_mandoc_has_no_complaint(self):
        for name in self.PAGES:
            done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", share(f"man/{name}")], check=False,
                                  capture_output=True, text=True, timeout=PATIENCE)
            # The pages have no date, so that the same sources make the same page.
            complaints = [line for line in done.stdout.splitlines() if "missing date" not in line]
            self.assertEqual(complaints, [])

    def test_it_names_no_place_of_who_built_it(self):
        self.assertIn("$XDG_RUNTIME_DIR/ensemble/ensembled.sock", page(self.PAGES[1]))


class Bash(unittest.TestCase):
    """Words as bash itself would offer them after a tab."""

    def complete(self, *words):
        program = unpacked() / "usr/bin"
        script = """
            source "$1"; shift
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            compopt() { :; }
            _ensemble; printf '%s\\n' "${COMPREPLY[@]}" """
        text = run("bash", "-uc", script, "bash", share(COMPLETIONS["bash"]), "ensemble", *words, cwd="/",
                   env=environment(PATH=f"{program}:/usr/bin:/bin", XDG_RUNTIME_DIR="/nowhere"))
        return set(text.split())

    def test_verbs(self):
        self.assertEqual(self.complete(""), set(verbs()))
        self.assertEqual(self.complete("ev"), {"events"})
        self.assertEqual(self.complete("profile", ""), {"list", "show", "validate"})

    def test_options(self):
        self.assertLessEqual({"--name", "--label", "-l", "--restart"}, self.complete("up", "-"))
        self.assertEqual(self.complete("up", "phone", "--cou"), {"--count"})

    def test_values(self):
        self.assertEqual(self.complete("up", "--restart", ""), {"never", "on-failure", "always"})
        self.assertEqual(self.complete("ls", "--output", "=", "j"), {"json"})
        self.assertEqual(self.complete("completion", ""), {"bash", "zsh", "fish"})
        self.assertEqual(self.complete("up", "--count", ""), set())

    def test_profiles_are_asked_for(self):
        self.assertLessEqual({"phone", "tablet", "watch"}, self.complete("up", ""))

    def test_a_verb_that_is_a_value_is_none(self):
        self.assertLessEqual({"phone"}, self.complete("up", "--name", "rm", "ph"))

    def test_without_a_daemon_there_are_no_devices_and_no_errors(self):
        self.assertEqual(self.complete("rm", ""), set())

    def test_the_command_of_a_device_is_not_completed(self):
        self.assertEqual(self.complete("up", "phone", "--", "l"), set())


class OtherShells(unittest.TestCase):
    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh_reads_its_script(self):
        run("zsh", "-n", share(COMPLETIONS["zsh"]))

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish_offers_verbs_and_options(self):
        def complete(line):
            text = run("fish", "--no-config", "-c", f"source {share(COMPLETIONS['fish'])}; complete -C '{line}'",
                       env=environment(PATH=f"{unpacked() / 'usr/bin'}:/usr/bin:/bin", HOME="/nowhere"))
            return {line.split("\t")[0] for line in text.splitlines()}
        self.assertLessEqual(set(verbs()), complete("ensemble "))
        self.assertIn("--restart", complete("ensemble up --"))
        self.assertLessEqual({"never", "on-failure", "always"}, complete("ensemble up --restart "))


if __name__ == "__main__":
    unittest.main()
