"""What speaks for an item of the checklist without anybody's word: pure judgements on what was found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from workbench.checkpoints.manifest import Manifest


@dataclass(frozen=True)
class Evidence:
    """What was found for one item.

    Attributes
    ----------
    holds : bool or None
        Whether it settles the item; None where only a person can know.
    says : str
        What was found, in words.
    next_step : str
        What would settle it.
    about : str
        The digest of what it is about; an attestation given for another does not hold.
    """

    holds: bool | None
    says: str
    next_step: str = ""
    about: str = ""


class DryRunSeen(NamedTuple):
    """A dry run as preflight sees it: its name, when it began (UTC), how it ended, who reviewed it, its configuration."""

    name: str
    at: datetime
    whole: bool
    reviewed_by: str = ""
    config: str = ""


def backup_evidence(
    snapshots: Sequence[Manifest], last_import: datetime | None, hours: float, now: datetime
) -> Evidence:
    """Guide §2.1: a snapshot of this database, proved by restoring, young enough, and taken after the last import.

    Parameters
    ----------
    snapshots : sequence of Manifest
        Of this database, oldest first.
    last_import : datetime or None
        When the last live run wrote something.
    hours : float
        How old it may be.
    """
    make = "`workbench snapshot create`, then `workbench snapshot verify`"
    if not snapshots:
        return Evidence(False, "there is no snapshot of this database", make)
    last = max(snapshots, key=lambda each: (each.created, each.snapshot))
    age = (now - last.created) / timedelta(hours=1)
    told = f"{last.snapshot}, {age:.1f} hours old, {last.rows:,} rows"
    if age > hours:
        return Evidence(False, f"{told}: older than {hours:g} hours", make)
    if last_import is not None and last.created < last_import:
        return Evidence(False, f"{told}: an import has written since", make)
    if not last.verified:
        tried = last.verifications[-1] if last.verifications else None
        why = (
            f"its verification was {tried.outcome}: {tried.detail}"
            if tried
            else "nobody has restored it to see"
        )
        return Evidence(False, f"{told}: {why}", f"`workbench snapshot verify {last.snapshot}`")
    proof = [each for each in last.verifications if each.outcome == "pass"][-1]
    return Evidence(
        True, f"{told}; proved by restoring, by {proof.by} ({proof.seconds:.0f} s)", about=last.sha256
    )


def dry_run_evidence(
    dry_runs: Sequence[DryRunSeen], last_import: datetime | None, hours: float, now: datetime
) -> Evidence:
    """Guide §2.2: a dry run that came to its end, is fresh, came after the last import, and was reviewed by somebody."""
    make = "`workbench dry-run -- COMMAND...`, then `workbench dry-run review --approve`"
    if not dry_runs:
        return Evidence(False, "there is no dry run", make)
    last = max(dry_runs, key=lambda each: (each.at, each.name))
    age = (now - last.at) / timedelta(hours=1)
    told = f"{last.name}, {age:.1f} hours old"
    if not last.whole:
        return Evidence(False, f"{told}: it did not come to its end", make)
    if age > hours:
        return Evidence(False, f"{told}: older than {hours:g} hours", make)
    if last_import is not None and last.at < last_import:
        return Evidence(False, f"{told}: an import has written since", make)
    if not last.reviewed_by:
        return Evidence(False, f"{told}: nobody has reviewed it", "`workbench dry-run review --approve`")
    return Evidence(True, f"{told}; reviewed by {last.reviewed_by}")


def config_evidence(
    name: str, digest: str, problems: Sequence[str], dry_runs: Sequence[DryRunSeen]
) -> Evidence:
    """Guide §6: tier and status mappings checked against the database, and the file that the dry run had.

    Parameters
    ----------
    name, digest : str
        The configuration's file and its SHA-256; empty where none is configured.
    problems : sequence of str
        What the checks found wrong with it here, or could not ask.
    """
    if not digest:
        return Evidence(
            False,
            "no configuration is named",
            "Set tier_mapping, and status_mapping where members have both, for this environment.",
        )
    told = f"{name}, SHA-256 {digest[:12]}"
    if problems:
        return Evidence(
            False,
            f"{told}: {'; '.join(problems)}",
            "`workbench tiers` shows each level and its tier.",
            digest,
        )
    last = max(dry_runs, key=lambda each: (each.at, each.name), default=None)
    if last is not None and last.config and last.config != digest:
        return Evidence(
            False, f"{told}: the dry run had another ({last.config[:12]})", "Run the dry run again.", digest
        )
    return Evidence(None, f"{told}: every level and tier it names is here", about=digest)


def operator_evidence(operator: str, named: bool) -> Evidence:
    """Guide §6: who is running this, by name, and not merely whoever is logged in."""
    if named:
        return Evidence(True, operator)
    return Evidence(
        False, f"nobody is named; the login is {operator}", "--as NAME, or operator = NAME in workbench.toml"
    )


def environment_evidence(environment: str, address_pinned: bool, problems: Sequence[str]) -> Evidence:
    """Guide §6's last verification command: which database this is, and that its data say the same."""
    if problems:
        return Evidence(False, f"{environment}: {'; '.join(problems)}", "`workbench check environment-wrong`")
    if not address_pinned:
        return Evidence(
            None,
            f"{environment}; nothing in its data contradicts that",
            "address = HOST/DATABASE in workbench.toml pins it.",
        )
    return Evidence(
        True, f"{environment}, its address as workbench.toml demands; nothing in its data contradicts that"
    )


def rollback_evidence(attested: str, backup: Evidence, traces: bool) -> Evidence:
    """Guide §6: level 1 or 2 predetermined; level 2 only with a proved snapshot, level 1 only where an import leaves traces.

    Parameters
    ----------
    attested : str
        What was said of it: ``level 1`` or ``level 2`` must stand in it. Empty where nothing was said.
    traces : bool
        Whether imports leave traces in this database, or report files.
    """
    named = re.search(r"\blevel[\s-]*([12])\b", attested, re.IGNORECASE)
    if named is None:
        attest = '`workbench preflight attest rollback "level 1"`'
        if not attested:
            return Evidence(None, "no level is predetermined", attest)
        # None would let any word settle it.
        says = "no level is predetermined: what was attested names neither level 1 nor level 2"
        return Evidence(False, says, f'{attest}, or "level 2" where a proved snapshot is to be restored')
    level = f"level {named[1]}"
    if level == "level 2" and not backup.holds:
        return Evidence(False, f"level 2, but {backup.says}", backup.next_step)
    if level == "level 1" and not traces:
        return Evidence(
            False,
            "level 1, but no import has left a trace here by which it could be taken back",
            "Configure import_reports, or choose level 2.",
        )
    return Evidence(None, f"{level} is possible here")
