"""An organisation's own rules: checks in a folder of its own, asked like any other (guide §1.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from shutil import copyfile

from workbench.checks.finding import Finding, section
from workbench.checks.registry import (
    PACKAGE,
    REGISTRY,
    Check,
    Look,
    NotConfiguredError,
    NotRunError,
    in_folder,
    read_check,
    run_check,
)
from workbench.errors import UsageError, unknown

STARTER = (PACKAGE / "policies" / "checks", PACKAGE / "policies" / "starter")
"""The rules that hold where an organisation has written down none of its own; the first folder's are checks too."""


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
        for each in ids:
            if each not in self.checks:
                raise unknown(f"rule in {self.name} called", each, self.checks)
        return [self.checks[each] for each in dict.fromkeys(ids or self.checks)]


def read_rules(path: Path | None) -> Rules:
    """Read the rules of a folder, or of one file; without any, the starter set.

    Raises
    ------
    UsageError
        For a folder that is not there or holds no rule, and for what is wrong with any of its files.
    """
    folders = (path,) if path else STARTER
    files = [file for each in folders for file in (sorted(each.glob("*.sql")) if each.is_dir() else [each])]
    if not files:
        raise UsageError(
            f"The folder {path} holds no rule, a file NAME.sql.",
            "`workbench policies --starter FOLDER` makes one to begin with.",
        )
    checks = sorted(map(read_check, files), key=lambda each: (section(each.guide), each.id))
    if named := [each.id for each in checks if each.answer]:
        raise UsageError(f"The rule {named[0]} names a function; a rule is a SELECT.", "Write the SELECT.")
    if path is not None:
        checks = [each.model_copy(update={"harmless": each.harmless or ()}) for each in checks]
    else:  # whether and how to correct, an organisation says itself
        checks = [each.model_copy(update={"fix": ""}) for each in checks]
    content = b"".join(file.read_bytes() for file in files)
    name = path.name if path else "starter set"
    return Rules(name, sha256(content).hexdigest(), {each.id: each for each in checks})


Waivers = Mapping[str, str] | Sequence[str]
"""What is accepted, by its id, and why: a mapping, or ``id=reason`` each."""


def read_waivers(given: Waivers) -> dict[str, str]:
    """Take ``id=reason`` apart; one without a reason is a `UsageError`."""
    pairs = dict(given) if isinstance(given, Mapping) else dict(each.partition("=")[::2] for each in given)
    for check, reason in pairs.items():
        if not check.strip() or not reason.strip():
            raise UsageError(f"The waiver {check!r} gives no reason.", "Write it as CHECK=REASON.")
    return {check.strip(): reason.strip() for check, reason in pairs.items()}


def run_rules(
    look: Look,
    rules: Rules,
    ids: Sequence[str] = (),
    waive: Waivers = (),
    by: str = "",
) -> list[Finding]:
    """Ask rules, all or the named ones, in the order of the guide.

    Raises
    ------
    UsageError
        For an id that is not among them.
    """
    rules.choose(list(waivers := read_waivers(waive)))
    return [run_check(each, look, waivers, by) for each in rules.choose(ids)]


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
    own: Rules | NotRunError | None = None
    if look.settings.policies:
        try:
            own = read_rules(look.settings.policies)
        except UsageError as error:
            own = NotRunError(str(error))
    findings = []
    for check in choose(ids):
        why: NotRunError | None = None
        if own is not None and check.id in _RULED:
            if isinstance(own, NotRunError):
                why = own
            elif check.id in own.checks:
                check = own.checks[check.id]
            else:
                why = NotConfiguredError(f"{own.name} has no rule {check.id!r}.")
        findings.append(run_check(check, look, waivers, by, why))
    return findings


def choose(ids: Sequence[str]) -> list[Check]:
    """Return the named checks, or all in the order of the guide; an unknown id is a `UsageError`."""
    for each in ids:
        if each not in REGISTRY:
            raise unknown("check", each, REGISTRY)
    return sorted(
        (REGISTRY[each] for each in dict.fromkeys(ids or REGISTRY)), key=lambda each: section(each.guide)
    )


_RULED = frozenset(in_folder(STARTER[0]))


def copy_starter(folder: Path) -> list[Path]:
    """Copy the starter set into a folder that is not there yet, or is empty; return its files."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already.", "Name a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    return [
        Path(copyfile(file, folder / file.name)) for each in STARTER for file in sorted(each.glob("*.sql"))
    ]
