"""The registry of checks: what a check is, what it answers, and how one is run.

A check that could not run is never green: what it lacks is its finding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from time import perf_counter
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Select, func
from sqlalchemy.exc import DBAPIError

from workbench.checks.finding import SAMPLE, Finding, Severity, Status, culprits, section
from workbench.database.address import redact
from workbench.database.connection import frame
from workbench.database.environment import Environment
from workbench.errors import SchemaGap, unknown
from workbench.hints import aim
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ImportReport
from workbench.murmurant.schema import Schema, explain_gap
from workbench.settings import EnvironmentSettings


class UnknownRuns(Sequence[Run]):
    """Stands for the runs where their traces may not be read: whoever asks for one is told why, and never of none.

    Parameters
    ----------
    gap : SchemaGap
        What may not be read.
    """

    def __init__(self, gap: SchemaGap) -> None:
        self.gap = gap

    def __getitem__(self, place: Any) -> Any:
        raise self.gap

    def __len__(self) -> int:
        raise self.gap


@dataclass(frozen=True)
class Look:
    """Everything a check may look at: one consistent state of one database.

    Attributes
    ----------
    connection : sqlalchemy.Connection
        In a read-only transaction.
    schema : Schema
        The tables, in this database's spelling.
    environment, settings : Environment, EnvironmentSettings
        The target and what is configured for it.
    runs : sequence of Run
        Every import run that is known.
    reports : sequence of ImportReport
        The report files that were given or found.
    sample : int
        The most rows that a finding carries; its count is of all.
    production_members : int or None
        How many members the settings expect of the club itself.
    as_of : datetime or None
        The end of the last run: "now", as far as the imported data know. UTC, without zone.
    """

    connection: Connection
    schema: Schema
    environment: Environment
    settings: EnvironmentSettings
    runs: Sequence[Run] = ()
    reports: Sequence[ImportReport] = ()
    sample: int = SAMPLE
    production_members: int | None = None

    @property
    def as_of(self) -> datetime | None:
        """The end of the last run; None where none is known."""
        if isinstance(self.runs, UnknownRuns):
            return None
        ends = (each.finished or each.last_trace for each in self.runs if each.mode == "live")
        return max(filter(None, ends), default=None)


_RISK_OF = {"§1.6": "critical", "§1.2": "high", "§1.4": "high", "§7.1": "high", "§7.3": "high"}
"""The guide's risk level of a section (§1); what it does not say is medium."""

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Answer:
    """What a question came to that was asked already: how many culprits, and a sample of them."""

    count: int
    rows: pd.DataFrame
    query: str = ""


Question = Callable[[Look], "Select[*tuple[Any, ...]] | Rows | Answer"]


class NotRunError(Exception):
    """Raised by a check that cannot answer here; its text says why and what would change that."""


class NotConfiguredError(NotRunError):
    """Raised by a check that nobody has asked for: it needs a setting that is not there."""


@dataclass(frozen=True)
class Check:
    """A named read-only question, tied to a section of the guide.

    Attributes
    ----------
    id, title : str
        For commands and for people.
    guide : str
        Section, such as ``§1.2``.
    symptom : str
        The guide's own words for what this looks for.
    severity : {"fail", "warn"}
        What a finding with rows is.
    question, remedy : str
        In plain words: what is asked, and what to do when the answer is bad.
    needs : tuple of str
        Tables and columns without which it cannot run.
    ask : callable
        Returns the culprits: a statement, or rows; each has a ``key``.
    risk : {"critical", "high", "medium"}
        How urgent a finding is, as the guide rates its section.
    here : callable, optional
        Returns the check as an environment's own rules have it.
    """

    id: str
    title: str
    guide: str
    symptom: str
    severity: Severity
    question: str
    remedy: str
    needs: tuple[str, ...]
    ask: Question
    risk: str = "medium"
    here: Callable[[Look], Check] | None = None

    def finding(self, status: Status, count: int | None = None, **more: Any) -> Finding:
        """Return an answer to it."""
        return Finding(
            self.id,
            self.title,
            status,
            count,
            guide=self.guide,
            question=self.question,
            remedy=self.remedy,
            severity=self.severity,
            risk=self.risk,
            **more,
        )


REGISTRY: dict[str, Check] = {}


def check(
    id: str,
    title: str,
    *,
    guide: str,
    symptom: str,
    question: str,
    remedy: str,
    severity: Severity = "fail",
    needs: tuple[str, ...] = (),
    risk: str = "",
) -> Callable[[Question], Question]:
    """Register a check; see `Check` for the parameters."""

    def register(ask: Question) -> Question:
        if id in REGISTRY:
            raise ValueError(f"Two checks are called {id!r}.")
        rated = risk or _RISK_OF.get(guide, "medium")
        REGISTRY[id] = Check(id, title, guide, symptom, severity, question, remedy, needs, ask, rated)
        return ask

    return register


def choose(ids: Sequence[str]) -> list[Check]:
    """Return the named checks, or all in the order of the guide; an unknown id is a `UsageError`."""
    for each in ids:
        if each not in REGISTRY:
            raise unknown("check", each, REGISTRY)
    chosen = [REGISTRY[each] for each in dict.fromkeys(ids)] if ids else list(REGISTRY.values())
    return sorted(chosen, key=in_guide_order)


def in_guide_order(check: Check) -> tuple[int, ...]:
    """Return where a check stands in the guide."""
    return section(check.guide)


def run_check(chosen: Check, look: Look) -> Finding:
    """Ask one question and return its finding."""
    begun = perf_counter()
    chosen = chosen.here(look) if chosen.here else chosen
    here = look.environment.name
    chosen = replace(chosen, question=aim(chosen.question, here), remedy=aim(chosen.remedy, here))
    missing = look.schema.missing(*chosen.needs)
    if missing:
        return chosen.finding("not run", reason=" ".join(explain_gap(missing[0])))
    try:
        # A savepoint of its own: a question that the database refuses must not silence the others.
        with look.connection.begin_nested():
            return _asked(chosen, look, begun)
    except SchemaGap as error:
        return chosen.finding("not run", reason=aim(str(error), here), seconds=perf_counter() - begun)
    except NotRunError as error:
        configured = not isinstance(error, NotConfiguredError)
        return chosen.finding(
            "not run",
            reason=aim(str(error), here),
            seconds=perf_counter() - begun,
            configured=configured,
        )
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        reason = f"The database refused the question: {redact(str(error.orig).splitlines()[0])}."
        return chosen.finding("not run", reason=reason, seconds=perf_counter() - begun)


def _asked(chosen: Check, look: Look, begun: float) -> Finding:
    asked = chosen.ask(look)
    if isinstance(asked, Select):
        query = str(asked.compile(dialect=look.connection.dialect))
        rows = frame(
            look.connection, asked.add_columns(func.count().over().label("of_all")).limit(look.sample)
        )
        count = int(rows["of_all"].iloc[0]) if len(rows) else 0
        rows = rows.drop(columns="of_all")
    elif isinstance(asked, Answer):
        query, count, rows = asked.query, asked.count, asked.rows
    else:
        rows = pd.DataFrame(asked)
        query, count, rows = "", culprits(rows), rows.head(look.sample)
    status: Status = chosen.severity if count else "pass"
    return chosen.finding(status, count, rows=rows, query=query, seconds=perf_counter() - begun)


def run_checks(
    look: Look, ids: Sequence[str] = (), waivers: Mapping[str, str] | None = None, by: str = ""
) -> list[Finding]:
    """Run checks in the order of the guide.

    Parameters
    ----------
    ids : sequence of str
        Which; all when empty.
    waivers : mapping of str to str, optional
        Check id to the reason why its finding is accepted.
    by : str
        Who accepts them. A finding that passes needs no waiver and stays a pass.

    Raises
    ------
    UsageError
        For an id that does not exist.
    """
    choose(list(waivers or {}))
    return asked(look, choose(ids), waivers or {}, by)


def asked(look: Look, chosen: Sequence[Check], waived: Mapping[str, str], by: str) -> list[Finding]:
    """Ask some checks, and mark as waived what somebody accepts."""
    found = [run_check(each, look) for each in chosen]
    return [
        replace(each, status="waived", reason=f"by {by}: {waived[each.check]}")
        if each.bad and each.check in waived
        else each
        for each in found
    ]
