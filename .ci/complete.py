"""Fail unless every test of the suite ran and passed.

pytest is content with a suite of which half was skipped or deselected; an operator is not. What the JUnit reports
of its runs show as passed, or as failed where failure is expected, is compared with what the suite collects: every
test once.

Usage: python .ci/complete.py JUNIT.xml [JUNIT.xml ...]
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

ALLOWED_SKIPS: tuple[str, ...] = ()
"""Regular expressions, each for one reason to skip a test in continuous integration."""


def collected() -> int:
    """Count the suite's tests, whatever the configuration would deselect."""
    options = ["--collect-only", "-q", "-o", "addopts=", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options]
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"^(\d+) tests? collected", output.stdout, re.MULTILINE)
    if output.returncode or not found:
        raise SystemExit(f"The suite could not be collected:\n{output.stdout}{output.stderr}")
    return int(found[1])


def outcomes(reports: list[Path]) -> tuple[set[str], set[str], list[str]]:
    """Name the tests that ran, those skipped with leave, and what is wrong with the others."""
    ran, excused, others = set(), set(), []
    for case in (case for report in reports for case in ElementTree.parse(report).iter("testcase")):
        name = f"{case.get('classname')}::{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            others.append(f"{name}: failed")
        elif name in ran:
            others.append(f"{name}: ran twice")
        elif skipped is None or (
            skipped.get("type") == "pytest.xfail" and "[NOTRUN]" not in skipped.get("message", "")
        ):
            ran.add(name)
        elif any(re.search(allowed, skipped.get("message", "")) for allowed in ALLOWED_SKIPS):
            excused.add(name)
        else:
            others.append(f"{name}: not run: {skipped.get('message')}")
    return ran, excused, others


def main(reports: list[Path]) -> int:
    """Print what ran of how many; return 1 if that is not all of them."""
    expected = collected()
    ran, excused, others = outcomes(reports)
    for line in others:
        print(line)
    print(f"{len(ran)} of {expected} tests ran and did as expected, {len(excused)} skipped with leave.")
    complete = expected > 0 and not others and len(ran) + len(excused) >= expected
    if not complete:
        print("The suite did not run completely.")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main([Path(each) for each in sys.argv[1:]]))
