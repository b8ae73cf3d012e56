"""Preflight: the guide's checklist before a migration (§6), settled by evidence or by a named person's word.

These functions only judge: the evidence, the attestations and the clock are arguments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import pandas as pd

from workbench.checks.finding import Finding, Status
from workbench.migration.dry_runs import DryRun
from workbench.snapshots.manifest import Manifest
from workbench.statements import Statement

Kind = Literal["attested", "waived", "withdrawn"]


class ChecklistItem(NamedTuple):
    """An item of the checklist, and whether evidence alone can settle it."""

    title: str
    asks: str
    by_evidence: bool = False


ITEMS = {
    "backup": ChecklistItem("Backup created", "pg_dump completed and verified", True),
    "dry-run": ChecklistItem("Dry run executed", "results reviewed and approved", True),
    "config": ChecklistItem("Config reviewed", "tier and status mappings checked"),
    "window": ChecklistItem("Maintenance window", "scheduled if needed"),
    "rollback": ChecklistItem("Rollback plan", "level 1 or 2 predetermined"),
    "operator": ChecklistItem("Operator identified", "who is running this, logged", True),
    "stakeholders": ChecklistItem("Stakeholders notified", "board and operations aware of the migration"),
    "environment": ChecklistItem("Environment verified", "the target is the intended one", True),
}
"""Guide §6's seven items; the eighth is its verification of the environment."""

STATUSES: dict[str, Status] = {"ok": "pass", "open": "fail", "waived": "waived"}


class Attestation(Statement):
    """A person's word on an item of the checklist.

    Attributes
    ----------
    kind : {"attested", "waived", "withdrawn"}
        ``waived``: the item is accepted as open. ``withdrawn``: the previous word is revoked.
    about : str
        The digest of what it is about, such as the configuration; it is not valid for another. Empty for none.
    """

    noun = "preflight attestations"
    stem = "preflight"

    item: str
    kind: Kind
    says: str
    about: str


class Evidence(NamedTuple):
    """The evidence for one item.

    Attributes
    ----------
    holds : bool or None
        Whether it settles the item; None where only a person can know.
    says : str
        What was found.
    next_step : str
        What would settle the item.
    about : str
        The digest of what it is about; an attestation for another is not valid.
    """

    holds: bool | None
    says: str
    next_step: str = ""
    about: str = ""


class Clock(NamedTuple):
    """The time now (with its zone), and of the last live run's last write."""

    now: datetime
    last_import: datetime | None

    def age(self, at: datetime, hours: float) -> tuple[str, str]:
        """Return the age of something, and why it is too old; empty where it is not."""
        old = f"{(self.now - at) / timedelta(hours=1):.1f} hours old"
        if self.now - at > timedelta(hours=hours):
            return old, f"older than {hours:g} hours"
        overtaken = self.last_import is not None and at < self.last_import
        return old, "an import has written since" if overtaken else ""


def valid(statements: Sequence[Attestation], hours: float, clock: Clock) -> dict[str, Attestation]:
    """Return the valid attestation of each item: the last one, if it is recent and newer than the last import."""
    words = {word.item: word for word in statements if not clock.age(word.at, hours)[1]}
    return {item: word for item, word in words.items() if word.kind != "withdrawn"}


def judge(evidence: Mapping[str, Evidence], words: Mapping[str, Attestation]) -> pd.DataFrame:
    """Answer the checklist.

    Parameters
    ----------
    evidence : mapping of str to Evidence
        By item; without any, only a person can know.
    words : mapping of str to Attestation
        The valid one of each item: see `valid`.

    Returns
    -------
    pandas.DataFrame
        ``item``, ``title``, ``asks``, ``state`` (``ok``, ``open``, ``waived``; unknown is open), ``evidence``,
        ``by`` (who attested or waived it, and why), ``next_step`` (what would settle it).
    """
    rows = []
    for item, (title, asks, by_evidence) in ITEMS.items():
        fact = evidence.get(item, Evidence(None, "only a person knows"))
        word = words.get(item)
        by = f"{word.kind} by {word.by}: {word.says}" if word else ""
        if word and word.about and fact.about and word.about != fact.about:
            word, by = None, f"{by} (about another state of it)"
        # An attestation cannot override contradicting evidence; only a waiver can.
        decided = fact.holds is False or (fact.holds and by_evidence)
        settled = fact.holds if decided else word is not None
        state = "waived" if word and word.kind == "waived" else "ok" if settled else "open"
        step = fact.next_step or f'`workbench preflight attest {item} "..." --as NAME`'
        rows.append((item, title, asks, state, fact.says, by, step if state == "open" else ""))
    columns = ["item", "title", "asks", "state", "evidence", "by", "next_step"]
    return pd.DataFrame(rows, columns=columns)


def findings(checklist: pd.DataFrame) -> list[Finding]:
    """Return the items as findings; an open one fails."""
    return [
        Finding(
            *(f"preflight-{row['item']}", row["title"], STATUSES[row["state"]], int(row["state"] == "open")),
            reason=row["by"] or row["evidence"],
            question=f"{row['title']}: {row['asks']}?",
            remedy=row["next_step"],
            guide="§6",
            risk="critical",
        )
        for row in checklist.to_dict("records")
    ]


def backup_evidence(snapshots: Sequence[Manifest], hours: float, clock: Clock) -> Evidence:
    """Guide §2.1: a snapshot of this database, verified by restoring, recent, and newer than the last import."""
    make = "`workbench snapshot create`, then `workbench snapshot verify`"
    if not snapshots:
        return Evidence(False, "there is no snapshot of this database", make)
    last = max(snapshots, key=lambda snapshot: (snapshot.created_at, snapshot.snapshot))
    age, problem = clock.age(last.created_at, hours)
    says = f"{last.snapshot}, {age}, {last.rows:,} rows"
    if problem:
        return Evidence(False, f"{says}: {problem}", make)
    tries = [f"its verification was {tried.outcome}: {tried.detail}" for tried in last.verifications]
    if not last.verified:
        why = tries[-1] if tries else "nobody has restored it yet"
        return Evidence(False, f"{says}: {why}", f"`workbench snapshot verify {last.snapshot}`")
    proof = [tried for tried in last.verifications if tried.outcome == "pass"][-1]
    return Evidence(True, f"{says}; verified by restoring, by {proof.by}", about=last.sha256)


def dry_run_evidence(dry_runs: Sequence[DryRun], hours: float, clock: Clock) -> Evidence:
    """Guide §2.2: the last dry run completed, is recent, newer than the last import, and reviewed."""
    make = "`workbench dry-run -- COMMAND...`, then `workbench dry-run review --approve`"
    if not dry_runs:
        return Evidence(False, "there is no dry run", make)
    last = dry_runs[0]
    age, problem = clock.age(last.started_at, hours)
    says = f"{last.name}, {age}"
    if last.state != "completed":
        problem = "it did not complete"
    if problem or last.approval is None:
        return Evidence(False, f"{says}: {problem or 'nobody has reviewed it'}", make)
    return Evidence(True, f"{says}; reviewed by {last.approval.by}")


def config_evidence(
    files: Mapping[str, str], problems: Sequence[str], dry_runs: Sequence[DryRun]
) -> Evidence:
    """Guide §6: tier and status mappings checked against the database and the dry run's files.

    Parameters
    ----------
    files : mapping of str to str
        File name to SHA-256; empty where none is configured.
    problems : sequence of str
        What the checks found or could not check.
    """
    if not files:
        step = "Set tier_mapping (and status_mapping) for this environment."
        return Evidence(False, "no configuration is named", step)
    says = " and ".join(f"{name}, SHA-256 {digest[:12]}" for name, digest in files.items())
    about = " ".join(files.values())
    if problems:
        step = "`workbench tiers` shows each level and its tier."
        return Evidence(False, f"{says}: {'; '.join(problems)}", step, about)
    rehearsed = {file.file: file.sha256 for run in dry_runs[:1] for file in run.configuration}
    if rehearsed.keys() & files.keys() and not files.items() <= rehearsed.items():
        return Evidence(False, f"{says}: the dry run had another", "Run the dry run again.", about)
    return Evidence(None, f"{says}: every level and tier it names exists here", about=about)


def operator_evidence(operator: str, named: bool) -> Evidence:
    """Guide §6: the operator by name; a login does not count."""
    if named:
        return Evidence(True, operator)
    step = "--as NAME, or operator = NAME in workbench.toml"
    return Evidence(False, f"nobody is named; the login is {operator}", step)


def environment_evidence(environment: str, address_pinned: bool, problems: Sequence[str]) -> Evidence:
    """Guide §6, verify environment: its name and address, and that its data do not contradict it."""
    if problems:
        return Evidence(False, f"{environment}: {'; '.join(problems)}", "`workbench check environment-wrong`")
    agrees = "nothing in its data contradicts that"
    if address_pinned:
        return Evidence(True, f"{environment}, its address as workbench.toml demands; {agrees}")
    return Evidence(None, f"{environment}; {agrees}", "address = HOST/DATABASE in workbench.toml pins it.")


def rollback_evidence(attested: str, backup: Evidence, traces: bool) -> Evidence:
    """Guide §6: level 1 or 2 predetermined; level 2 needs a verified snapshot, level 1 an import that leaves traces.

    Parameters
    ----------
    attested : str
        Must contain ``level 1`` or ``level 2``; empty where nobody attested it.
    traces : bool
        Whether imports leave traces in this database or report files.
    """
    named = re.search(r"\blevel[\s-]*([12])\b", attested, re.IGNORECASE)
    step = '`workbench preflight attest rollback "level 1"`, or "level 2" to restore a verified snapshot'
    if named is None:
        return Evidence(False if attested else None, "no level is predetermined", step)
    if named[1] == "2" and not backup.holds:
        return Evidence(False, f"level 2, but {backup.says}", backup.next_step)
    if named[1] == "1" and not traces:
        says = "level 1, but imports leave no traces here, so no run can be rolled back"
        return Evidence(False, says, "Configure import_reports, or choose level 2.")
    return Evidence(None, f"level {named[1]} is possible here")
