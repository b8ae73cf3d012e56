"""Checks: read from their files, chosen and run; and an organisation's own rules, which are checks in a folder (guide §1.5).

A check is a file with a header and a SELECT, or with a header that names a function. A check that cannot run never passes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from shutil import copyfile
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
from workbench.errors import SchemaGap, UsageError, unknown
from workbench.hints import aim
from workbench.murmurant.canonical import ask
from workbench.murmurant.spellings import ENTITY_TYPES, REGISTRATION

PACKAGE = Path(__file__).parent.parent

STARTER = (PACKAGE / "policies" / "checks", PACKAGE / "policies" / "starter")
"""The rules for an organisation that has none of its own. Those of the first folder are checks as well."""

_RISK_OF = {"§1.6": "critical", "§1.2": "high", "§1.4": "high", "§7.1": "high", "§7.3": "high"}
"""The risk level that the guide gives a section (§1); all others are medium."""

_HOW = "See `docs/architecture.md`, or `workbench policies --starter FOLDER` for examples."

Rows = list[dict[str, Any]]
"""The rows at fault that a function returns, each with its ``key``."""

Asked = tuple[int, pd.DataFrame, str]
"""The number of rows at fault, a sample of them, and the SQL."""

Waivers = Mapping[str, str] | Sequence[str]
"""Accepted findings and the reasons: a mapping of check id to reason, or a list of ``id=reason``."""


class Check(BaseModel):
    """A named read-only question about a section of the guide: the header of its file and its SQL.

    Attributes
    ----------
    id, title : str
        The file's name, for commands; and the name that people read.
    guide : str
        Section, such as ``§1.2``.
    symptom : str
        The guide's own words for the problem.
    severity : {"fail", "warn"}
        The status of a finding with rows.
    question, remedy : str
        What is asked, and what to do when the answer is bad.
    needs : tuple of str
        Relations and columns that it needs besides those that its SQL mentions.
    without : tuple of str
        Relations and columns that its SQL mentions but does not need.
    either : tuple of tuple of str
        Alternative sets of needs, one of which is enough.
    optional : bool
        Whether it counts as not configured, rather than open, where the database lacks what it needs.
    unique : tuple of str
        Columns of one relation. Where a unique index covers them, the check passes without a query.
    risk : {"critical", "high", "medium"}
        How urgent a finding is; by default the guide's rating of the section.
    answer : str
        The function that answers it, ``module.name`` in ``workbench.checks``. It takes a `Look` and returns the rows at
        fault, each with a ``key``.
    sql : str
        A SELECT of the rows at fault, with a ``key``.
    unknown : str
        A SELECT after the line ``-- unknown``, run when `sql` returns no rows: ``why`` that is not a pass.
    fix : str
        A SELECT after the line ``-- fix`` of the corrections.
    harmless : tuple of str, optional
        For an organisation's own rule: its computed text columns that need no masking.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
    title: Annotated[str, Field(min_length=1)]
    guide: Annotated[str, Field(pattern=r"^§[1-9]\d*(\.[1-9]\d*)*$")] = "§1.5"
    symptom: str = ""
    severity: Severity = "fail"
    question: str = "Do all records follow this rule?"
    remedy: str = "Correct the records in the application, or correct the source and import again."
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
        """Raise the error for the first thing that the check needs and the database lacks."""
        gaps = [look.canonical.gap(*group) for group in self.either]
        if gaps and all(gaps):
            raise NotRunError(" Nor: ".join(dict.fromkeys(map(str, gaps))))
        if gap := look.canonical.gap(*self.needs):
            raise gap
        look.canonical.require(query, self.without)

    def ask(self, look: Look) -> Asked:
        """Run its query or function."""
        self.require(look, self.sql)
        if self.answer:
            module, _, name = self.answer.partition(".")
            answer: Rows | pd.DataFrame | Asked
            answer = getattr(import_module(f"workbench.checks.{module}"), name)(look)
            if isinstance(answer, tuple):
                return answer
            rows = pd.DataFrame(answer)
            return culprits(rows), rows.head(look.sample), ""
        if self.unique and self._is_unique(look):
            return 0, pd.DataFrame(), ""
        connection, canonical = look.connection, look.canonical
        asked = ask(connection, canonical, self.sql, limit=look.sample, keyed=True, harmless=self.harmless)
        if self.unknown and not asked[0]:
            _, reasons, _ = ask(connection, canonical, self.unknown)
            if len(reasons):
                raise NotRunError(" ".join(reasons["why"]))
        return asked

    def _is_unique(self, look: Look) -> bool:
        """Whether a unique index rules out duplicates; not where two spellings of one entity type, or NULLs, hide them."""
        concept, names = self.unique[0].partition(".")[0], [name.partition(".")[2] for name in self.unique]
        if not look.schema.forbids_twins(concept, *names) or "entity_type" not in names:
            return look.schema.forbids_twins(concept, *names)
        exists = f"EXISTS (SELECT FROM {concept} WHERE spelled"
        both = " AND ".join(f"{exists} = '{spelling}')" for spelling in ENTITY_TYPES[REGISTRATION])
        ((mixed,),) = look.rows(f"SELECT {both} OR {exists} IS NULL)")
        return not mixed


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
        """Return the named rules, or all of them; `UsageError` for an unknown id."""
        return choose(ids, self.checks, f"rule in {self.name} called")


def read_check(path: Path) -> Check:
    """Read a check from a file: a SQL file with the header in comments, or a TOML file that is only a header.

    Raises
    ------
    UsageError
        For a file that cannot be read or is not a valid check.
    """
    try:
        text = "\n".join(path.read_bytes().decode("utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The check {path} cannot be read as UTF-8 text: {error}.") from None
    header, selects = text, {}
    if path.suffix != ".toml":
        head = re.match(r"(--.*\n?)*", text)
        assert head is not None
        header = re.sub(r"^-- ?", "", head[0], flags=re.MULTILINE)
        sql, *named = re.split(r"^-- (fix|unknown) *$", text[head.end() :], flags=re.MULTILINE)
        selects = {"sql": sql, **dict(zip(named[::2], named[1::2], strict=True))}
    try:
        facts = tomllib.loads(header) | {name: select.strip() for name, select in selects.items()}
        check = Check.model_validate({"id": path.stem} | facts)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        raise UsageError(f"The check {path} is wrong: {'; '.join(problems)}.", _HOW) from None
    except ValueError as error:
        raise UsageError(f"The header of the check {path} is not valid TOML: {error}.", _HOW) from None
    if "\0" in text or bool(check.sql.rstrip(";")) == bool(check.answer):
        raise UsageError(f"The check {path} is not one SELECT.", _HOW)
    return check


def read_checks(*folders: Path) -> dict[str, Check]:
    """Read the checks of some folders, by id, in the order of the guide."""
    paths = sorted(path for folder in folders for kind in ("*.sql", "*.toml") for path in folder.glob(kind))
    return _in_order(map(read_check, paths))


def _in_order(checks: Any) -> dict[str, Check]:
    return {check.id: check for check in sorted(checks, key=lambda check: (section(check.guide), check.id))}


def in_package(package: Path = PACKAGE) -> dict[str, Check]:
    """Read the checks in every folder ``checks`` of the package."""
    return read_checks(*package.glob("*/checks"), package / "checks")


REGISTRY: dict[str, Check] = in_package()
"""Every check that comes with the workbench."""

_RULED = frozenset(read_checks(STARTER[0]))


def read_rules(path: Path | None) -> Rules:
    """Read the rules in a folder or a file; without a path, the starter set.

    Raises
    ------
    UsageError
        For a folder that does not exist or has no rule, and for an invalid rule.
    """
    files = []
    for folder in (path,) if path else STARTER:
        files += sorted(folder.glob("*.sql")) if folder.is_dir() else [folder]
    if not files:
        raise UsageError(
            f"The folder {path} has no rules (files NAME.sql).",
            "`workbench policies --starter FOLDER` creates some.",
        )
    checks = _in_order(map(read_check, files))
    if named := [check.id for check in checks.values() if check.answer]:
        raise UsageError(f"The rule {named[0]} names a function; a rule is a SELECT.", "Write the SELECT.")
    for check in checks.values():
        # An organisation decides itself whether and how to correct: the starter set corrects nothing.
        changes = {"harmless": check.harmless or ()} if path else {"fix": ""}
        checks[check.id] = check.model_copy(update=changes)
    digest = sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return Rules(path.name if path else "starter set", digest, checks)


def copy_starter(folder: Path) -> list[Path]:
    """Copy the starter set into a new or empty folder; return the files."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists already.", "Name a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(file for starter in STARTER for file in starter.glob("*.sql"))
    return [Path(copyfile(file, folder / file.name)) for file in files]


def read_waivers(waivers: Waivers) -> dict[str, str]:
    """Return the reason by check id; `UsageError` for a waiver without a reason."""
    pairs = (
        waivers.items() if isinstance(waivers, Mapping) else [text.partition("=")[::2] for text in waivers]
    )
    reasons = {check.strip(): reason.strip() for check, reason in pairs}
    for check, reason in reasons.items():
        if not check or not reason:
            raise UsageError(f"The waiver {check!r} gives no reason.", "Write it as CHECK=REASON.")
    return reasons


def choose(ids: Sequence[str], checks: Mapping[str, Check] = REGISTRY, noun: str = "check") -> list[Check]:
    """Return the named checks, or all of them, in the order of the guide; `UsageError` for an unknown id."""
    for name in ids:
        if name not in checks:
            raise unknown(noun, name, checks)
    return [check for check in checks.values() if not ids or check.id in ids]


def run_rules(
    look: Look, rules: Rules, ids: Sequence[str] = (), waive: Waivers = (), by: str = ""
) -> list[Finding]:
    """Run rules, all or the named ones, in the order of the guide; see `run_checks`."""
    rules.choose(list(waivers := read_waivers(waive)))
    return [run_check(rule, look, waivers, by) for rule in rules.choose(ids)]


def run_checks(look: Look, ids: Sequence[str] = (), waive: Waivers = (), by: str = "") -> list[Finding]:
    """Run checks in the order of the guide. An environment's own rules replace the starter set.

    Parameters
    ----------
    ids : sequence of str
        Which checks; all by default.
    waive : mapping of str to str, or sequence of ``check=reason``
        The findings that are accepted, and why. A check that passes stays a pass.
    by : str
        Who accepts them.

    Raises
    ------
    UsageError
        For an unknown id.
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
        not_run = None
        if path and check.id in _RULED:
            if own is None:
                not_run = NotRunError(wrong)
            elif check.id not in own.checks:
                not_run = NotConfiguredError(f"{own.name} has no rule {check.id!r}.")
            else:
                check = own.checks[check.id]
        findings.append(run_check(check, look, waivers, by, not_run))
    return findings


def run_check(
    check: Check,
    look: Look,
    waivers: Mapping[str, str] | None = None,
    by: str = "",
    not_run: NotRunError | None = None,
) -> Finding:
    """Run one check and return its finding.

    Parameters
    ----------
    waivers : mapping of str to str, optional
        Check id to the reason why its finding is accepted.
    by : str
        Who accepts it.
    not_run : NotRunError, optional
        Why it cannot run, where that is known beforehand.
    """
    begun, environment, session = perf_counter(), look.environment.name, raw(look.connection)
    count, rows, query = 0, pd.DataFrame(), ""
    status: Status = "not run"
    reason, configured = "", True
    try:
        if not_run is not None:
            raise not_run
        # A savepoint: a query that the database refuses must not abort the other checks.
        with look.connection.begin_nested():
            count, rows, query = check.ask(look)
        status = check.severity if count else "pass"
    except (SchemaGap, NotRunError, UsageError) as error:
        reason = str(error)
        optional = check.optional and isinstance(error, SchemaGap)
        configured = not (optional or isinstance(error, NotConfiguredError))
    except (DBAPIError, psycopg.Error) as error:
        if session.closed:
            raise
        refusal = error.orig if isinstance(error, DBAPIError) else error
        reason = f"The database refused the question: {_refusal(refusal, look.settings.statement_timeout)}"
    finding = Finding(
        check.id,
        check.title,
        status,
        None if status == "not run" else count,
        rows,
        aim(reason, environment),
        guide=check.guide,
        question=aim(check.question, environment),
        remedy=aim(check.remedy, environment),
        severity=check.severity,
        risk=check.risk or _RISK_OF.get(check.guide, "medium"),
        query=query,
        seconds=perf_counter() - begun,
        configured=configured,
    )
    if finding.bad and waivers and check.id in waivers:
        return replace(finding, status="waived", reason=f"by {by}: {waivers[check.id]}")
    return finding


def _refusal(error: BaseException | None, seconds: float) -> str:
    """Return the server's own message and hint, without secrets."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return f"it took longer than {seconds:g} s and was stopped."
    message = redact((str(error).strip() or type(error).__name__).splitlines()[0].rstrip("."))
    hint = error.diag.message_hint if isinstance(error, psycopg.Error) else None
    return f"{message}." + (f" {redact(hint)}" if hint else "")
