"""How the suite judges tests: what fails among others is run once more, alone, and named at the end."""

import importlib.util
import unittest
from pathlib import Path

SUITE = Path(__file__).resolve().parents[2] / "scripts" / "suite.py"
specification = importlib.util.spec_from_file_location("suite", SUITE)
suite = importlib.util.module_from_spec(specification)
specification.loader.exec_module(suite)


class SecondLook(unittest.TestCase):
    def judge(self, cases, again):
        report = suite.Report()
        self.asked = []

        def alone(names):
            self.asked.append(names)
            return again

        suite.add_cases(report, "stage", cases, alone)
        return report

    def test_what_passes_is_not_run_again(self):
        report = self.judge([("passed", "A.B", ""), ("skipped", "A.C", "no KVM")], [])
        self.assertEqual(report.counts(), (1, 0, 1))
        self.assertEqual(self.asked, [])

    def test_what_passes_alone_counts_as_passed_and_is_named(self):
        report = self.judge([("failed", "A.B", "late"), ("passed", "A.C", "")], [("passed", "A.B", "")])
        self.assertEqual(report.counts(), (2, 0, 0))
        self.assertEqual(self.asked, [r"^(A\.B)$"])
        self.assertEqual(report.unsteady, [("stage", "A.B", "late")])

    def test_what_fails_twice_fails(self):
        report = self.judge([("failed", "A.B", "wrong")], [("failed", "A.B", "wrong again")])
        self.assertEqual(report.failed, [("stage", "A.B", "wrong again")])
        self.assertEqual(report.unsteady, [])

    def test_what_is_missing_from_the_second_run_fails(self):
        self.assertEqual(self.judge([("failed", "A.B", "wrong")], []).counts(), (0, 1, 0))

    def test_what_a_sanitizer_found_is_not_run_again(self):
        report = self.judge([("failed", "A.B", "==1==ERROR: AddressSanitizer: heap-use-after-free")],
                            [("passed", "A.B", "")])
        self.assertEqual(report.counts(), (0, 1, 0))
        self.assertEqual(self.asked, [])

    def test_what_is_skipped_the_second_time_fails(self):
        self.assertEqual(self.judge([("failed", "A.B", "wrong")], [("skipped", "A.B", "")]).counts(), (0, 1, 0))

    def test_many_failures_are_not_run_again(self):
        cases = [("failed", f"A.B{number}", "") for number in range(suite.MOST_RUN_AGAIN + 1)]
        report = self.judge(cases, [("passed", name, "") for _, name, _ in cases])
        self.assertEqual(report.counts(), (0, len(cases), 0))
        self.assertEqual(self.asked, [])


if __name__ == "__main__":
    unittest.main()
