"""Preflight: the guide's checklist before a migration (§6), by evidence where there is any, else by a named person's word.

Pure judgements: what was found, who said what, and the clock are arguments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import pandas as pd

from workbench.answer import Step
from workbench.checks.finding import Finding, Status
from workbench.errors import UsageError
from workbench.migration.dry_runs import DryRun
from workbench.snapshots.manifest import Manifest
from workbench.statements import Statement, signed

Kind = Literal["attested", "waived", "withdrawn"]
State = Literal["ok", "open", "waived"]


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


class Item(NamedTuple):
    """One item of the checklist.

    Attributes
    ----------
    id, title, asks : str
        Which, and what the guide asks.
    state : {"ok", "open", "waived"}
        What is not known is open.
    evidence, by, next_step : str
        What was found; who vouches for it, or waived it and why; what would settle it.
    """

    id: str
    title: str
    asks: str
    state: State
    evidence: str
    by: str
    next_step: str


@dataclass(frozen=True)
class Preflight:
    """The checklist, answered."""

    items: tuple[Item, ...]

    @property
    def open(self) -> tuple[Item, ...]:
        """What still has to be settled."""
        return tuple(each for each in self.items if each.state == "open")

    @property
    def clear(self) -> bool:
        """Whether the migration may begin."""
        return not self.open

    @property
    def findings(self) -> list[Finding]:
        """The items as findings: an open one fails, a waived one is waived, by whom and why."""
        statuses: dict[State, Status] = {"ok": "pass", "open": "fail", "waived": "waived"}
        return [
            Finding(
                *(f"preflight-{each.id}", each.title, statuses[each.state], int(each.state == "open")),
                reason=each.by or each.evidence,
                question=f"{each.title}: {each.asks}?",
                remedy=each.next_step,
                guide="§6",
                risk="critical",
            )
            for each in self.items
        ]

    @property
    def steps(self) -> list[Step]:
        """What would settle what is open."""
        if self.clear:
            return [Step("Log that nothing is open", "preflight sign")]
        return [Step(f"{each.title}: {each.next_step}") for each in self.open]

    def table(self) -> pd.DataFrame:
        """Return it as a frame: ``item``, ``title``, ``asks``, ``state``, ``evidence``, ``by``, ``next_step``."""
        return pd.DataFrame(self.items, columns=["item", *Item._fields[1:]])


def attest(item: str, kind: Kind, says: str, *, by: str, about: str = "") -> Attestation:
    """Return a person's word of this moment.

    Raises
    ------
    UsageError
        For nobody's name, nothing said, too much said, or somebody's address in it.
    """
    by, at, says = signed(by, says)
    if not says and kind != "withdrawn":
        raise UsageError(
            f"Nothing is said of {item!r}.",
            "Say what you vouch for." if kind == "attested" else "A waiver needs a reason.",
        )
    return Attestation(item=item, kind=kind, says=says, by=by, at=at, about=about)


def holding(
    made: Sequence[Attestation], hours: float, last_import: datetime | None, now: datetime
) -> dict[str, Attestation]:
    """Return the word that holds for each item: the last one, young enough, and given for this migration.

    What was said before the last import was said of that one.
    """
    words: dict[str, Attestation] = {}
    for each in made:
        if now - each.at > timedelta(hours=hours) or (last_import is not None and each.at < last_import):
            continue
        words[each.item] = each
    return {item: each for item, each in words.items() if each.kind != "withdrawn"}


def judge(evidence: Mapping[str, Evidence], words: Mapping[str, Attestation]) -> Preflight:
    """Answer the checklist.

    Parameters
    ----------
    evidence : mapping of str to Evidence
        Item to what was found; an item without any is a person's to know.
    words : mapping of str to Attestation
        Item to the word that holds: see `holding`.
    """
    nothing = Evidence(None, "only a person knows")
    return Preflight(tuple(_judged(name, evidence.get(name, nothing), words.get(name)) for name in ITEMS))


def _judged(name: str, found: Evidence, word: Attestation | None) -> Item:
    title, asks, by_evidence = ITEMS[name]
    who = f"{word.kind} by {word.by}: {word.says}" if word else ""
    if word is not None and word.kind == "waived":
        return Item(name, title, asks, "waived", found.says, who, "")
    if word is not None and word.about and found.about and word.about != found.about:
        word, who = None, f"{who} (of another state than it is in now)"
    # Nobody's word makes true what evidence contradicts: that takes a waiver, with a reason.
    decided = found.holds is False or (found.holds and by_evidence)
    settled = found.holds if decided else word is not None
    next_step = "" if settled else found.next_step or f'`workbench preflight attest {name} "..." --as NAME`'
    return Item(name, title, asks, "ok" if settled else "open", found.says, who, next_step)


def backup_evidence(
    snapshots: Sequence[Manifest], last_import: datetime | None, hours: float, now: datetime
) -> Evidence:
    """Guide §2.1: a snapshot of this database, proved by restoring, young enough, and taken after the last import.

    Parameters
    ----------
    snapshots : sequence of Manifest
        Of this database.
    last_import : datetime or None
        When the last live run wrote something.
    hours : float
        How old it may be.
    """
    make = "`workbench snapshot create`, then `workbench snapshot verify`"
    if not snapshots:
        return Evidence(False, "there is no snapshot of this database", make)
    last = max(snapshots, key=lambda each: (each.created_at, each.snapshot))
    says = f"{last.snapshot}, {_hours(now, last.created_at)} hours old, {last.rows:,} rows"
    if problem := _too_old(last.created_at, last_import, hours, now):
        return Evidence(False, f"{says}: {problem}", make)
    if not last.verified:
        tried = [f"its verification was {each.outcome}: {each.detail}" for each in last.verifications[-1:]]
        why = tried[0] if tried else "nobody has restored it to see"
        return Evidence(False, f"{says}: {why}", f"`workbench snapshot verify {last.snapshot}`")
    proof = [each for each in last.verifications if each.outcome == "pass"][-1]
    proved = f"{says}; proved by restoring, by {proof.by} ({proof.seconds:.0f} s)"
    return Evidence(True, proved, about=last.sha256)


def dry_run_evidence(
    dry_runs: Sequence[DryRun], last_import: datetime | None, hours: float, now: datetime
) -> Evidence:
    """Guide §2.2: a dry run that came to its end, is fresh, came after the last import, and was reviewed by somebody."""
    make = "`workbench dry-run -- COMMAND...`, then `workbench dry-run review --approve`"
    last = _last(dry_runs)
    if last is None:
        return Evidence(False, "there is no dry run", make)
    kind = ", of an incremental sync" if last.runs and not last.reports else ""
    says = f"{last.name}{kind}, {_hours(now, last.started_at)} hours old"
    unfinished = "" if last.state == "completed" else "it did not come to its end"
    if problem := unfinished or _too_old(last.started_at, last_import, hours, now):
        return Evidence(False, f"{says}: {problem}", make)
    if (review := last.approval) is None:
        return Evidence(False, f"{says}: nobody has reviewed it", "`workbench dry-run review --approve`")
    return Evidence(True, f"{says}; reviewed by {review.by}")


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
    last = _last(dry_runs)
    had = {each.file: each.sha256 for each in last.configuration if each.file in files} if last else {}
    if had and had != files:
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
    step = '`workbench preflight attest rollback "level 1"`'
    if named is None and not attested:
        return Evidence(None, "no level is predetermined", step)
    if named is None:  # None would let any word settle it
        says = "no level is predetermined: what was attested names neither level 1 nor level 2"
        return Evidence(False, says, f'{step}, or "level 2" where a proved snapshot is to be restored')
    if named[1] == "2" and not backup.holds:
        return Evidence(False, f"level 2, but {backup.says}", backup.next_step)
    if named[1] == "1" and not traces:
        says = "level 1, but no import has left a trace here by which it could be taken back"
        return Evidence(False, says, "Configure import_reports, or choose level 2.")
    return Evidence(None, f"level {named[1]} is possible here")


def _last(dry_runs: Sequence[DryRun]) -> DryRun | None:
    return max(dry_runs, key=lambda each: (each.started_at, each.name), default=None)


def _hours(now: datetime, since: datetime) -> str:
    return f"{(now - since) / timedelta(hours=1):.1f}"


def _too_old(at: datetime, last_import: datetime | None, hours: float, now: datetime) -> str:
    if now - at > timedelta(hours=hours):
        return f"older than {hours:g} hours"
    return "an import has written since" if last_import is not None and at < last_import else ""
