"""Preflight: the guide's checklist before a migration (§6), by evidence where there is any, else by a named person's word.

Pure judgements: what was found, what people said, and the clock are arguments.
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
    """What the guide asks of an item, and whether evidence alone can settle it."""

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
    "environment": ChecklistItem("Environment verified", "the target is the one that is meant", True),
}
"""Guide §6's seven items, and its verification of the environment as an eighth."""

STATUSES: dict[str, Status] = {"ok": "pass", "open": "fail", "waived": "waived"}


class Attestation(Statement):
    """One person's word on one item of the checklist.

    Attributes
    ----------
    item : str
        Which, such as ``window``.
    kind : {"attested", "waived", "withdrawn"}
        ``waived``: it is accepted that the item is open. ``withdrawn``: what was said before holds no more.
    says : str
        What is vouched for, or why it is waived, without personal data.
    about : str
        The digest of what it is about, such as the configuration's; it does not hold for another. Else empty.
    """

    noun = "preflight attestations"
    stem = "preflight"

    item: str
    kind: Kind
    says: str
    about: str


class Evidence(NamedTuple):
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


class Clock(NamedTuple):
    """The time now (with its zone), and when the last live run wrote something."""

    now: datetime
    last_import: datetime | None

    def age(self, at: datetime, hours: float) -> tuple[str, str]:
        """Return how old something is, and why it is too old; empty where it is not."""
        old = f"{(self.now - at) / timedelta(hours=1):.1f} hours old"
        if self.now - at > timedelta(hours=hours):
            return old, f"older than {hours:g} hours"
        overtaken = self.last_import is not None and at < self.last_import
        return old, "an import has written since" if overtaken else ""


def holding(statements: Sequence[Attestation], hours: float, clock: Clock) -> dict[str, Attestation]:
    """Return the word that holds for each item: the last one, young enough, and given since the last import."""
    words = {word.item: word for word in statements if not clock.age(word.at, hours)[1]}
    return {item: word for item, word in words.items() if word.kind != "withdrawn"}


def judge(evidence: Mapping[str, Evidence], words: Mapping[str, Attestation]) -> pd.DataFrame:
    """Answer the checklist.

    Parameters
    ----------
    evidence : mapping of str to Evidence
        Item to what was found; an item without any is a person's to know.
    words : mapping of str to Attestation
        Item to the word that holds: see `holding`.

    Returns
    -------
    pandas.DataFrame
        ``item``, ``title``, ``asks``, ``state`` (``ok``, ``open``, ``waived``; what is not known is open), ``evidence``,
        ``by`` (who vouches for it, or waived it and why), ``next_step`` (what would settle it).
    """
    rows = []
    for item, (title, asks, by_evidence) in ITEMS.items():
        fact = evidence.get(item, Evidence(None, "only a person knows"))
        word = words.get(item)
        by = f"{word.kind} by {word.by}: {word.says}" if word else ""
        if word and word.about and fact.about and word.about != fact.about:
            word, by = None, f"{by} (about another state of it)"
        # Nobody's word makes true what evidence contradicts: that takes a waiver, with a reason.
        decided = fact.holds is False or (fact.holds and by_evidence)
        settled = fact.holds if decided else word is not None
        state = "waived" if word and word.kind == "waived" else "ok" if settled else "open"
        step = fact.next_step or f'`workbench preflight attest {item} "..." --as NAME`'
        rows.append((item, title, asks, state, fact.says, by, step if state == "open" else ""))
    columns = ["item", "title", "asks", "state", "evidence", "by", "next_step"]
    return pd.DataFrame(rows, columns=columns)


def findings(checklist: pd.DataFrame) -> list[Finding]:
    """Return the items as findings: an open one fails, a waived one is waived, by whom and why."""
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
    """Guide §2.1: a snapshot of this database, proved by restoring, young enough, and taken after the last import."""
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
        why = tries[-1] if tries else "nobody has restored it to see"
        return Evidence(False, f"{says}: {why}", f"`workbench snapshot verify {last.snapshot}`")
    proof = [tried for tried in last.verifications if tried.outcome == "pass"][-1]
    return Evidence(True, f"{says}; proved by restoring, by {proof.by}", about=last.sha256)


def dry_run_evidence(dry_runs: Sequence[DryRun], hours: float, clock: Clock) -> Evidence:
    """Guide §2.2: the last dry run came to its end, is fresh, came after the last import, and was reviewed."""
    make = "`workbench dry-run -- COMMAND...`, then `workbench dry-run review --approve`"
    if not dry_runs:
        return Evidence(False, "there is no dry run", make)
    last = dry_runs[0]
    age, problem = clock.age(last.started_at, hours)
    says = f"{last.name}, {age}"
    if last.state != "completed":
        problem = "it did not come to its end"
    if problem or last.approval is None:
        return Evidence(False, f"{says}: {problem or 'nobody has reviewed it'}", make)
    return Evidence(True, f"{says}; reviewed by {last.approval.by}")


def config_evidence(
    files: Mapping[str, str], digest: str, problems: Sequence[str], dry_runs: Sequence[DryRun]
) -> Evidence:
    """Guide §6: tier and status mappings checked against the database, and the files that the dry run had.

    Parameters
    ----------
    files : mapping of str to str
        The configuration's files, name to SHA-256; empty where none is configured.
    digest : str
        Of all of them: what an attestation is about.
    problems : sequence of str
        What the checks found wrong with it here, or could not ask.
    """
    if not files:
        step = "Set tier_mapping, and status_mapping where members have both, for this environment."
        return Evidence(False, "no configuration is named", step)
    says = f"{' and '.join(files)}, SHA-256 {digest[:12]}"
    if problems:
        step = "`workbench tiers` shows each level and its tier."
        return Evidence(False, f"{says}: {'; '.join(problems)}", step, digest)
    rehearsed = {file.file: file.sha256 for run in dry_runs[:1] for file in run.configuration}
    if rehearsed.keys() & files.keys() and not files.items() <= rehearsed.items():
        return Evidence(False, f"{says}: the dry run had another", "Run the dry run again.", digest)
    return Evidence(None, f"{says}: every level and tier it names is here", about=digest)


def operator_evidence(operator: str, named: bool) -> Evidence:
    """Guide §6: who is running this, by name, and not merely whoever is logged in."""
    if named:
        return Evidence(True, operator)
    step = "--as NAME, or operator = NAME in workbench.toml"
    return Evidence(False, f"nobody is named; the login is {operator}", step)


def environment_evidence(environment: str, address_pinned: bool, problems: Sequence[str]) -> Evidence:
    """Guide §6's last verification command: which database this is, and that its data say the same."""
    if problems:
        return Evidence(False, f"{environment}: {'; '.join(problems)}", "`workbench check environment-wrong`")
    agrees = "nothing in its data contradicts that"
    if address_pinned:
        return Evidence(True, f"{environment}, its address as workbench.toml demands; {agrees}")
    return Evidence(None, f"{environment}; {agrees}", "address = HOST/DATABASE in workbench.toml pins it.")


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
    step = '`workbench preflight attest rollback "level 1"`, or "level 2" to restore a proved snapshot'
    if named is None:  # words that name no level settle nothing
        return Evidence(False if attested else None, "no level is predetermined", step)
    if named[1] == "2" and not backup.holds:
        return Evidence(False, f"level 2, but {backup.says}", backup.next_step)
    if named[1] == "1" and not traces:
        says = "level 1, but no import has left a trace here by which it could be taken back"
        return Evidence(False, says, "Configure import_reports, or choose level 2.")
    return Evidence(None, f"level {named[1]} is possible here")
