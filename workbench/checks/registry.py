"""A check: one file with a header and a SELECT, or the name of a function; how it is read and run.

A check that could not run is never green: what it lacks is its finding.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import pandas as pd
import psycopg
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import DBAPIError

from workbench.checks.finding import Finding, Severity, Status, culprits, section
from workbench.checks.look import Look, NotConfiguredError, NotRunError
from workbench.database.address import redact
from workbench.database.connection import raw
from workbench.errors import SchemaGap, UsageError
from workbench.hints import aim
from workbench.murmurant.canonical import ask
from workbench.murmurant.spellings import ENTITY_TYPES, REGISTRATION

PACKAGE = Path(__file__).parent.parent

_RISK_OF = {"§1.6": "critical", "§1.2": "high", "§1.4": "high", "§7.1": "high", "§7.3": "high"}
"""The guide's risk level of a section (§1); what it does not say is medium."""

Rows = list[dict[str, Any]]
"""The culprits that a function names, each with its ``key``."""

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
    sql : str
        The SELECT of the culprits, with a ``key``.
    unknown : str
        A SELECT after the line ``-- unknown``, asked where there are no culprits: ``why`` that is no pass here.
    fix : str
        A SELECT after the line ``-- fix``: what would correct them.
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
    unknown: str = ""
    fix: str = ""
    harmless: tuple[str, ...] | None = None

    def require(self, look: Look, query: str) -> None:
        """Raise what is known of the first thing that it cannot do without and that is not here."""
        gaps = [look.canonical.gap(*group) for group in self.either]
        if gaps and all(gaps):
            raise NotRunError(" Nor: ".join(dict.fromkeys(map(str, gaps))))
        if gap := look.canonical.gap(*self.needs):
            raise gap
        look.canonical.require(query, self.without)

    def ask(self, look: Look) -> Asked:
        """Ask it; what it cannot do without and is not here is raised."""
        self.require(look, self.sql)
        if self.answer:
            module, _, name = self.answer.partition(".")
            answer: Rows | pd.DataFrame | Asked
            answer = getattr(import_module(f"workbench.checks.{module}"), name)(look)
            if isinstance(answer, tuple):
                return answer
            rows = pd.DataFrame(answer)
            return culprits(rows), rows.head(look.sample), ""
        if self.unique and self._settled(look):
            return 0, pd.DataFrame(), ""
        connection, canonical = look.connection, look.canonical
        asked = ask(connection, canonical, self.sql, limit=look.sample, keyed=True, harmless=self.harmless)
        if self.unknown and not asked[0]:
            _, reasons, _ = ask(connection, canonical, self.unknown)
            if len(reasons):
                raise NotRunError(" ".join(reasons["why"]))
        return asked

    def _settled(self, look: Look) -> bool:
        """Whether a unique index rules out what is asked; to it two spellings of one kind are two, and so is each NULL."""
        concept, names = self.unique[0].partition(".")[0], [name.partition(".")[2] for name in self.unique]
        if not look.schema.forbids_twins(concept, *names):
            return False
        if "entity_type" not in names:
            return True
        of = f"EXISTS (SELECT FROM {concept} WHERE spelled"
        both = " AND ".join(f"{of} = '{spelling}')" for spelling in ENTITY_TYPES[REGISTRATION])
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
    """Read a check's file: its header, as comments of SQL or alone in TOML, then the SELECT, then others by their names.

    Raises
    ------
    UsageError
        For a file that cannot be read, and for everything that is wrong with it, at once.
    """
    try:
        text = "\n".join(path.read_bytes().decode("utf-8-sig").splitlines())
    except OSError as error:
        raise UsageError(f"The check {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The check {path} is not UTF-8 (byte {error.start}).", "Save the file as UTF-8 and try again."
        ) from None
    header, selects = text, {}
    if path.suffix != ".toml":
        head = re.match(r"(--.*\n?)*", text)
        assert head is not None
        header = re.sub(r"^-- ?", "", head[0], flags=re.MULTILINE)
        sql, *named = re.split(r"^-- (fix|unknown) *$", text[head.end() :], flags=re.MULTILINE)
        selects = {"sql": sql, **dict(zip(named[::2], named[1::2], strict=True))}
    try:
        facts = tomllib.loads(header)
        check = Check.model_validate(
            {"id": path.stem, **facts, **{name: select.strip() for name, select in selects.items()}}
        )
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        raise UsageError(f"The check {path} is wrong: {'; '.join(problems)}.", _HOW) from None
    except ValueError as error:
        raise UsageError(f"The check {path} has no header that can be read: {error}.", _HOW) from None
    if not check.sql.rstrip(";") and not check.answer:
        raise UsageError(f"The check {path} asks nothing.", _HOW)
    if "\0" in text or (check.sql and check.answer):
        raise UsageError(f"The check {path} is not one SELECT.", _HOW)
    return check


_HOW = "See `docs/architecture.md`, or `workbench policies --starter FOLDER` for examples."


def in_folders(*folders: Path) -> dict[str, Check]:
    """Read the checks of some folders, by id, in the order of the guide."""
    paths = sorted(path for folder in folders for kind in ("*.sql", "*.toml") for path in folder.glob(kind))
    checks = sorted(map(read_check, paths), key=lambda check: (section(check.guide), check.id))
    return {check.id: check for check in checks}


def in_package(package: Path = PACKAGE) -> dict[str, Check]:
    """Read the checks of every room."""
    return in_folders(package / "checks", *package.glob("*/checks"))


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
    begun, environment, session = perf_counter(), look.environment.name, raw(look.connection)
    asked: Asked = (0, pd.DataFrame(), "")
    status: Status = "not run"
    reason, configured = "", True
    try:
        if unasked is not None:
            raise unasked
        # A savepoint of its own: a question that the database refuses must not silence the others.
        with look.connection.begin_nested():
            asked = check.ask(look)
        status = check.severity if asked[0] else "pass"
    except (SchemaGap, NotRunError, UsageError) as error:
        reason = aim(str(error), environment)
        spared = check.optional and isinstance(error, SchemaGap)
        configured = not (spared or isinstance(error, NotConfiguredError))
    except (DBAPIError, psycopg.Error) as error:
        if session.closed:
            raise
        refusal = error.orig if isinstance(error, DBAPIError) else error
        reason = f"The database refused the question: {_refusal(refusal, look.settings.statement_timeout)}"
    count, rows, query = asked
    aimed = check.model_copy(
        update={name: aim(getattr(check, name), environment) for name in ("question", "remedy")}
    )
    finding = aimed.finding(
        status,
        None if status == "not run" else count,
        rows=rows,
        reason=reason,
        query=query,
        seconds=perf_counter() - begun,
        configured=configured,
    )
    if finding.bad and waivers and check.id in waivers:
        return replace(finding, status="waived", reason=f"by {by}: {waivers[check.id]}")
    return finding


def _refusal(error: BaseException | None, seconds: float) -> str:
    """Say what the server said, in its own words where it is its word."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return f"it took longer than {seconds:g} s and was stopped."
    words = redact((str(error).strip() or type(error).__name__).splitlines()[0].rstrip("."))
    hint = error.diag.message_hint if isinstance(error, psycopg.Error) else None
    return f"{words}." + (f" {redact(hint)}" if hint else "")
