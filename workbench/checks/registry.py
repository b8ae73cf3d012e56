"""A check: one file with a header and a SELECT, or the name of a function; how it is found, read and run.

A check that could not run is never green: what it lacks is its finding.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import pandas as pd
import psycopg
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from workbench.checks.finding import SAMPLE, Finding, Severity, Status, culprits, section
from workbench.database.address import redact
from workbench.database.connection import raw
from workbench.database.environment import DEMO_MARK, Environment
from workbench.errors import SchemaGap, UsageError, nearest
from workbench.hints import aim
from workbench.murmurant.canonical import Canonical, ask, listed
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ImportReport
from workbench.murmurant.schema import Relation, Schema, explain_gap
from workbench.murmurant.spellings import ENTITY_TYPES, REGISTRATION
from workbench.settings import EnvironmentSettings
from workbench.tiers.configuration import TierMapping, distinct, read_tier_mapping
from workbench.tiers.review import TierReview, review_tiers

PACKAGE = Path(__file__).parent.parent

NO_RUNS = (
    "No import run left a trace: no run id in the database, no audit row, no report file."
    " Give the importer's report files with --import-report."
)

_RISK_OF = {"§1.6": "critical", "§1.2": "high", "§1.4": "high", "§7.1": "high", "§7.3": "high"}
"""The guide's risk level of a section (§1); what it does not say is medium."""

Rows = list[dict[str, Any]]


class NotRunError(Exception):
    """Raised by a check that cannot answer here; its text says why and what would change that."""


class NotConfiguredError(NotRunError):
    """Raised by a check that nobody has asked for: it needs a setting that is not there."""


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
        """The end of the last run: "now", as far as the imported data know; None where none is known. UTC, without zone."""
        if isinstance(self.runs, UnknownRuns):
            return None
        ends = (each.finished or each.last_trace for each in self.runs if each.mode == "live")
        return max(filter(None, ends), default=None)

    @cached_property
    def tiers(self) -> tuple[dict[str, TierReview], list[str]]:
        """The tiers as the configurations judge them; one that is wrong silences no other, and is told beside."""
        mappings: list[TierMapping] = []
        wrong = []
        for path in self.settings.mappings:
            try:
                mappings = [*distinct([*mappings, read_tier_mapping(path)])]
            except UsageError as error:
                wrong.append(str(error))
        if not self.schema.has("members.level"):
            mappings = [each for each in mappings if not each.enabled]
        return review_tiers(self.connection, self.schema, mappings), wrong

    @cached_property
    def canonical(self) -> Canonical:
        """The tables as relations, and with them ``here``, ``runs`` and ``reported``."""
        return Canonical(self.schema, {"here": self._here, "runs": self._runs, "reported": self._reported})

    def rows(self, query: str, **values: Any) -> list[Any]:
        """Ask the canonical relations, as it is, and return tuples."""
        return self.canonical.execute(raw(self.connection), query, values).fetchall()

    def _here(self) -> Relation:
        """Give what is known of this environment as one row: ``as_of``, ``now``, ``capacity_limit``, ``kind``, ..."""
        limit, as_of = self.settings.event_capacity_limit, self.as_of
        why = "No limit is configured. Set event_capacity_limit for this environment, or write it into the rule."
        facts: dict[str, tuple[str, list[Any]]] = {
            "as_of": ("timestamp", [as_of]),
            "capacity_limit": ("integer", [limit]),
            "environment": ("text", [self.environment.name]),
            "kind": ("text", [self.environment.kind]),
            "schema": ("text", [self.schema.catalogue.schema]),
            "club_members": ("integer", [self.production_members]),
            "demo_mark": ("text", [DEMO_MARK]),
        }
        known = listed(
            "here", facts, {} if limit is not None else {"capacity_limit": NotConfiguredError(why)}
        )
        now = "greatest(now() AT TIME ZONE 'UTC', as_of) AS now"
        return replace(known, select=f"SELECT *, {now} FROM ({known.select}) AS known")

    def _runs(self) -> Relation:
        """Give the live import runs: ``run``, ``importer``, ``status``, ``started``, ``ended``, ``rolled_back``."""
        live = [each for each in self.runs if each.mode == "live"]
        lacking = {} if live else {"": NotRunError(NO_RUNS)}
        return listed(
            "runs",
            {
                "run": ("text", [each.run for each in live]),
                "environment": ("text", [each.environment or None for each in live]),
                "importer": ("text", [each.importer for each in live]),
                "status": ("text", [each.status for each in live]),
                "started": ("timestamp", [each.started for each in live]),
                "ended": ("timestamp", [each.finished or each.last_trace for each in live]),
                "rolled_back": ("boolean", [each.rolled_back for each in live]),
            },
            lacking,
        )

    def _reported(self) -> Relation:
        """Give what the reports of live runs say of single records: ``reported_by``, ``entity``, ``record_id``, ``reported_as``."""
        told = [
            (run.run, each.entity, each.record_id, each.action)
            for run in self.runs
            if run.mode == "live"
            for report in run.reports
            for each in report.records
            if each.record_id
        ]
        names = ("reported_by", "entity", "record_id", "reported_as")
        return listed(
            "reported", {name: ("text", [row[at] for row in told]) for at, name in enumerate(names)}, {}
        )


Asked = tuple[int, pd.DataFrame, str]
"""What a question came to: how many culprits, a sample of them, and the SQL."""


class Check(BaseModel):
    """A named read-only question, tied to a section of the guide: the header of its file, and what is asked.

    Attributes
    ----------
    id, title : str
        The file's name, for commands; and for people.
    guide : str
        Section, such as ``§1.2``.
    symptom : str
        The guide's own words for what this looks for.
    severity : {"fail", "warn"}
        What a finding with rows is.
    question, remedy : str
        In plain words: what is asked, and what to do when the answer is bad.
    needs : tuple of str
        Relations and columns without which it cannot run, besides those that its SQL mentions.
    without : tuple of str
        Those it mentions and can do without.
    either : tuple of tuple of str
        Sets of what it needs, one of which is enough.
    optional : bool
        Whether a database that lacks them may leave it unanswered without that being a finding.
    unique : tuple of str
        Columns that settle it where a unique index holds them: then there is nothing to find.
    risk : {"critical", "high", "medium"}
        How urgent a finding is, as the guide rates its section.
    answer : str
        The function that answers it, ``module.name`` under ``workbench.checks``: it takes a `Look` and returns the
        culprits, a statement or rows, each with a ``key``.
    sql, fix : str
        The SELECT of the culprits, with a ``key``; and that of what would correct them.
    harmless : tuple of str, optional
        Of a rule of an organisation's own, the columns of made-up text that name no person: others are masked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
    title: Annotated[str, Field(min_length=1)]
    guide: Annotated[str, Field(pattern=r"^§[1-9]\d*(\.[1-9]\d*)*$")] = "§1.5"
    symptom: str = ""
    severity: Severity = "fail"
    question: str = "Does everything keep to this rule?"
    remedy: str = "Correct the records in the application, or the source and import again."
    needs: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    either: tuple[tuple[str, ...], ...] = ()
    optional: bool = False
    unique: tuple[str, ...] = ()
    risk: Literal["critical", "high", "medium"] | None = None
    answer: str = ""
    sql: str = ""
    fix: str = ""
    harmless: tuple[str, ...] | None = None

    def require(self, look: Look, query: str) -> None:
        """Raise what is known of the first thing that it cannot do without and that is not here."""
        if missing := look.schema.missing(*self.needs):
            raise SchemaGap(*explain_gap(missing[0]))
        lacking = [look.schema.missing(*group) for group in self.either]
        if lacking and all(lacking):
            raise SchemaGap(" Nor: ".join(" ".join(explain_gap(each[0])) for each in lacking))
        look.canonical.require(query, self.without)

    def ask(self, look: Look) -> Asked:
        """Ask it; what it cannot do without and is not here is raised."""
        self.require(look, self.sql)
        if self.answer:
            module, _, name = self.answer.partition(".")
            answer: Rows | pd.DataFrame | Asked = getattr(import_module(f"workbench.checks.{module}"), name)(
                look
            )
            if isinstance(answer, tuple):
                return answer
            rows = pd.DataFrame(answer)
            return culprits(rows), rows.head(look.sample), ""
        if self.unique and self._settled(look):
            return 0, pd.DataFrame(), ""
        return ask(
            look.connection, look.canonical, self.sql, limit=look.sample, keyed=True, harmless=self.harmless
        )

    def _settled(self, look: Look) -> bool:
        """Whether a unique index rules out what is asked; to it two spellings of one kind are two, and so is each NULL."""
        concept, names = self.unique[0].partition(".")[0], [name.partition(".")[2] for name in self.unique]
        if not look.schema.forbids_twins(concept, *names):
            return False
        if "entity_type" not in names:
            return True
        of = f"EXISTS (SELECT FROM {concept} WHERE spelled"
        both = " AND ".join(f"{of} = '{each}')" for each in ENTITY_TYPES[REGISTRATION])
        ((mixed,),) = look.rows(f"SELECT {both} OR {of} IS NULL)")
        return not mixed

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
            risk=self.risk or _RISK_OF.get(self.guide, "medium"),
            **more,
        )


def read_check(path: Path) -> Check:
    """Read a check's file: its header, as comments of SQL or alone in TOML, then the SELECT, then after ``-- fix`` another.

    Raises
    ------
    UsageError
        For a file that cannot be read, and for everything that is wrong with it, at once.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        lines = text.splitlines()
        head = next((n for n, line in enumerate(lines) if not line.startswith("--")), len(lines))
        if path.suffix == ".toml":
            header, sql, fix = tomllib.loads(text), "", ""
        else:
            header = tomllib.loads("\n".join(line[2:].removeprefix(" ") for line in lines[:head]))
            parts = re.split(r"^-- fix *$", "\n".join(lines[head:]), maxsplit=1, flags=re.MULTILINE)
            sql, fix = (part.strip() for part in (*parts, "")[:2])
    except OSError as error:
        raise UsageError(f"The check {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The check {path} is not UTF-8 (byte {error.start}).", "Save the file as UTF-8 and try again."
        ) from None
    except ValueError as error:
        raise UsageError(f"The check {path} has no header that can be read: {error}.", _HOW) from None
    try:
        check = Check.model_validate({"id": path.stem, **header, "sql": sql, "fix": fix})
    except ValidationError as error:
        raise UsageError(f"The check {path} is wrong: {'; '.join(_problems(error))}.", _HOW) from None
    if not check.sql.rstrip(";") and not check.answer:
        raise UsageError(f"The check {path} asks nothing.", _HOW)
    if "\0" in text or (check.sql and check.answer):
        raise UsageError(f"The check {path} is not one SELECT.", _HOW)
    return check


_HOW = "See `docs/architecture.md`, or `workbench policies --starter FOLDER` for examples."


def _problems(error: ValidationError) -> list[str]:
    told = []
    for each in error.errors(include_url=False, include_context=False):
        where = ".".join(map(str, each["loc"]))
        close = nearest(where, Check.model_fields, count=1) if each["type"] == "extra_forbidden" else []
        told.append(f"{where}: {each['msg']}" + (f" (did you mean {close[0]!r}?)" if close else ""))
    return told


def in_folder(folder: Path) -> dict[str, Check]:
    """Read the checks of one folder, by id."""
    paths = sorted({*folder.glob("*.sql"), *folder.glob("*.toml")})
    return {check.id: check for check in map(read_check, paths)}


def in_package(package: Path = PACKAGE) -> dict[str, Check]:
    """Read the checks of every room, by id, in the order of the guide."""
    folders = sorted({package / "checks", *package.glob("*/checks")})
    found = [check for folder in folders for check in in_folder(folder).values()]
    return {check.id: check for check in sorted(found, key=lambda each: (section(each.guide), each.id))}


REGISTRY: dict[str, Check] = in_package()
"""Every check that comes with the workbench."""


def run_check(
    check: Check,
    look: Look,
    waivers: Mapping[str, str] | None = None,
    by: str = "",
    unasked: NotRunError | None = None,
) -> Finding:
    """Ask one question and return its finding.

    Parameters
    ----------
    waivers : mapping of str to str, optional
        Check id to the reason why its finding is accepted.
    by : str
        Who accepts it.
    unasked : NotRunError, optional
        Why it cannot be asked, where that is known before.
    """
    begun, here, session = perf_counter(), look.environment.name, raw(look.connection)
    words = {"question": aim(check.question, here), "remedy": aim(check.remedy, here)}
    check, asked, configured = check.model_copy(update=words), (0, pd.DataFrame(), ""), True
    status: Status = "not run"
    try:
        if unasked is not None:
            raise unasked
        # A savepoint of its own: a question that the database refuses must not silence the others.
        with look.connection.begin_nested():
            asked = check.ask(look)
        status, reason = (check.severity if asked[0] else "pass"), ""
    except (SchemaGap, NotRunError, UsageError) as error:
        reason = aim(str(error), here)
        configured = not isinstance(error, NotConfiguredError)
        configured = configured and not (check.optional and isinstance(error, SchemaGap))
    except (DBAPIError, psycopg.Error) as error:
        if session.closed:
            raise
        told = error.orig if isinstance(error, DBAPIError) else error
        reason = f"The database refused the question: {_said(told, look.settings.statement_timeout)}"
    finding = check.finding(
        status,
        None if status == "not run" else asked[0],
        rows=asked[1],
        reason=reason,
        query=asked[2],
        seconds=perf_counter() - begun,
        configured=configured,
    )
    if finding.bad and waivers and check.id in waivers:
        return replace(finding, status="waived", reason=f"by {by}: {waivers[check.id]}")
    return finding


def _said(error: BaseException | None, seconds: float) -> str:
    """Say what the server said, in its own words where it is its word."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return f"it took longer than {seconds:g} s and was stopped."
    said = redact((str(error).strip() or type(error).__name__).splitlines()[0].rstrip("."))
    hint = error.diag.message_hint if isinstance(error, psycopg.Error) else None
    return f"{said}." + (f" {redact(hint)}" if hint else "")
