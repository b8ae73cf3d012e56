"""Checks chosen and run; and an organisation's own rules: checks in a folder of its own (guide §1.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from shutil import copyfile

from workbench.checks.finding import Finding, section
from workbench.checks.look import Look, NotConfiguredError, NotRunError
from workbench.checks.registry import PACKAGE, REGISTRY, Check, in_folders, read_check, run_check
from workbench.errors import UsageError, unknown

STARTER = (PACKAGE / "policies" / "checks", PACKAGE / "policies" / "starter")
"""The rules that hold where an organisation has written down none of its own; the first folder's are checks too."""

_RULED = frozenset(in_folders(STARTER[0]))

Waivers = Mapping[str, str] | Sequence[str]
"""What is accepted, by its id, and why: a mapping, or ``id=reason`` each."""


@dataclass(frozen=True)
class Rules:
    """The rules of a folder.

    Attributes
    ----------
    name : str
        The folder's name; ``starter set`` for ours.
    sha256 : str
        Of its files, one after the other.
    checks : dict of str to Check
        By id, in the order of the guide.
    """

    name: str
    sha256: str
    checks: dict[str, Check]

    def choose(self, ids: Sequence[str]) -> list[Check]:
        """Return the named rules, or all; an unknown id is a `UsageError` with the nearest."""
        return _choose(ids, self.checks, f"rule in {self.name} called")


def read_rules(path: Path | None) -> Rules:
    """Read the rules of a folder, or of one file; without any, the starter set.

    Raises
    ------
    UsageError
        For a folder that is not there or holds no rule, and for what is wrong with any of its files.
    """
    folders = (path,) if path else STARTER
    files = [
        file for folder in folders for file in (sorted(folder.glob("*.sql")) if folder.is_dir() else [folder])
    ]
    if not files:
        raise UsageError(
            f"The folder {path} holds no rule, a file NAME.sql.",
            "`workbench policies --starter FOLDER` makes one to begin with.",
        )
    checks = sorted(map(read_check, files), key=lambda check: (section(check.guide), check.id))
    if named := [check.id for check in checks if check.answer]:
        raise UsageError(f"The rule {named[0]} names a function; a rule is a SELECT.", "Write the SELECT.")
    if path is not None:
        checks = [check.model_copy(update={"harmless": check.harmless or ()}) for check in checks]
    else:  # whether and how to correct, an organisation says itself
        checks = [check.model_copy(update={"fix": ""}) for check in checks]
    content = b"".join(file.read_bytes() for file in files)
    name = path.name if path else "starter set"
    return Rules(name, sha256(content).hexdigest(), {check.id: check for check in checks})


def read_waivers(given: Waivers) -> dict[str, str]:
    """Take ``id=reason`` apart; one without a reason is a `UsageError`."""
    pairs = given.items() if isinstance(given, Mapping) else [text.partition("=")[::2] for text in given]
    waivers = {check.strip(): reason.strip() for check, reason in pairs}
    for check, reason in waivers.items():
        if not check or not reason:
            raise UsageError(f"The waiver {check!r} gives no reason.", "Write it as CHECK=REASON.")
    return waivers


def run_rules(
    look: Look, rules: Rules, ids: Sequence[str] = (), waive: Waivers = (), by: str = ""
) -> list[Finding]:
    """Ask rules, all or the named ones, in the order of the guide; see `run_checks`."""
    rules.choose(list(waivers := read_waivers(waive)))
    return [run_check(rule, look, waivers, by) for rule in rules.choose(ids)]


def run_checks(look: Look, ids: Sequence[str] = (), waive: Waivers = (), by: str = "") -> list[Finding]:
    """Run checks in the order of the guide; where an environment has rules of its own, by these.

    Parameters
    ----------
    ids : sequence of str
        Which; all when empty.
    waive : mapping of str to str, or sequence of ``check=reason``
        Check id to the reason why its finding is accepted.
    by : str
        Who accepts them. A finding that passes needs no waiver and stays a pass.

    Raises
    ------
    UsageError
        For an id that does not exist.
    """
    choose(list(waivers := read_waivers(waive)))
    path, own, wrong = look.settings.policies, None, ""
    if path:
        try:
            own = read_rules(path)
        except UsageError as error:
            wrong = str(error)
    findings = []
    for check in choose(ids):
        unasked = None
        if path and check.id in _RULED:
            if own is None:
                unasked = NotRunError(wrong)
            elif check.id not in own.checks:
                unasked = NotConfiguredError(f"{own.name} has no rule {check.id!r}.")
            else:
                check = own.checks[check.id]
        findings.append(run_check(check, look, waivers, by, unasked))
    return findings


def choose(ids: Sequence[str]) -> list[Check]:
    """Return the named checks, or all, in the order of the guide; an unknown id is a `UsageError`."""
    return _choose(ids, REGISTRY, "check")


def _choose(ids: Sequence[str], checks: Mapping[str, Check], noun: str) -> list[Check]:
    for name in ids:
        if name not in checks:
            raise unknown(noun, name, checks)
    return [check for check in checks.values() if not ids or check.id in ids]


def copy_starter(folder: Path) -> list[Path]:
    """Copy the starter set into a folder that is not there yet, or is empty; return its files."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already.", "Name a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    return [
        Path(copyfile(file, folder / file.name))
        for starter in STARTER
        for file in sorted(starter.glob("*.sql"))
    ]
