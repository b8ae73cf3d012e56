"""A rule as a file states it: what every kind of rule has in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import ColumnElement, FromClause, Select, exists

from workbench.errors import nearest
from workbench.investigate.policies.ground import Ground
from workbench.murmurant.schema import as_text, same_id
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS, EVENT, MEMBER, REGISTRATION

Entity = Literal["Member", "Event", "Registration"]
Whole = Annotated[int, Field(strict=True)]
Words = Annotated[str, Field(min_length=1, strict=True)]


class Where(BaseModel):
    """Which records a rule is about, where not about all.

    Attributes
    ----------
    published, upcoming : bool or None
        Only events (or registrations for events) that are published or not; that are to come or over.
    run : str or None
        Only records that this run created or updated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    published: bool | None = None
    upcoming: bool | None = None
    run: str | None = None


class Rule(BaseModel):
    """What every rule states.

    Attributes
    ----------
    id : str
        Small letters, digits and hyphens: for commands, reports and waivers.
    title : str
        What is wrong with the records it finds, for people.
    ask : str
        Its kind: which question is asked.
    guide : str
        Section of the recovery guide.
    severity : {"fail", "warn"}
        What a record at fault is.
    risk : {"critical", "high", "medium"}
        How urgent that is (guide §1).
    scope : str
        Which records it is about.
    question, remedy : str
        In plain words: what is asked, and what to do when the answer is bad.
    optional : bool
        Whether a database that lacks the tables or columns may leave it unanswered without that being a finding.
    fix : str or None
        The correction that `workbench plan policies` may plan; each kind says which it knows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80, strict=True)]
    title: Words
    ask: str
    guide: Annotated[str, Field(pattern=r"^§[1-9]\d*(\.[1-9]\d*)*$")] = "§1.5"
    severity: Literal["fail", "warn"] = "fail"
    risk: Literal["critical", "high", "medium"] = "medium"
    scope: str
    question: Words = "Does everything keep to this rule?"
    remedy: Words = "Correct the records in the application, or the source and import again."
    where: Where = Where()
    optional: Annotated[bool, Field(strict=True)] = False
    fix: str | None = None

    symptom: ClassVar[str] = ""
    """The guide's own words for what this looks for; the title where it has none."""

    @model_validator(mode="after")
    def _where_fits(self) -> Rule:
        told = [name for name in ("published", "upcoming") if getattr(self.where, name) is not None]
        if told and self.scope not in (EVENT, REGISTRATION):
            raise ValueError(f"where.{told[0]} is about events; a rule about {self.scope} cannot have it")
        if self.where.run is not None and self.scope not in CONCEPT_OF:
            raise ValueError(f"where.run is about {', '.join(CONCEPT_OF)}; {self.scope} cannot have it")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """Tables and columns without which it cannot be asked."""
        events = {
            "events.published": self.where.published is not None,
            "events.start": self.where.upcoming is not None,
            "registrations.event_id": self.scope == REGISTRATION and self.where != Where(),
        }
        return tuple(need for need, wanted in events.items() if wanted)

    @abstractmethod
    def culprits(self, ground: Ground) -> Select[Any]:
        """Select the records at fault, each with its ``key``, in a fixed order."""

    def source(self, ground: Ground) -> FromClause:
        """Return the table that the rule is about."""
        return ground.schema.source(CONCEPT_OF[self.scope])

    def among(self, ground: Ground) -> list[ColumnElement[bool]]:
        """Return what `where` restricts its records to."""
        wanted: list[ColumnElement[bool]] = []
        if self.where == Where():
            return wanted
        own, events = self.source(ground), ground.schema.events
        if self.where.published is not None:
            wanted.append(events.c.published == self.where.published)
        if self.where.upcoming is not None:
            later = events.c.start > ground.now
            wanted.append(later if self.where.upcoming else ~later)
        if wanted and self.scope == REGISTRATION:
            wanted = [exists().where(same_id(events.c.id, own.c.event_id), *wanted)]
        if self.where.run is not None:
            wanted.append(as_text(own.c.id).in_(ground.written_by(self.where.run, self.scope)))
        return wanted


def canonical(scope: str, field: str) -> str:
    """Return our name of a field that a rule may call by ours or by the database's.

    Raises
    ------
    ValueError
        For one that is not known, with the nearest.
    """
    columns = CONCEPTS[CONCEPT_OF[scope]].columns
    for name, spellings in columns.items():
        if field == name or field in spellings:
            return name
    close = nearest(field, [*columns, *(each for spellings in columns.values() for each in spellings)])
    offer = f"nearest: {', '.join(close)}" if close else f"known: {', '.join(columns)}"
    raise ValueError(f"{scope} has no field {field!r} ({offer})")


def label(scope: str) -> tuple[str, ...]:
    """Return the fields by which people tell records of a kind apart."""
    return {MEMBER: ("first_name", "last_name"), EVENT: ("title",)}.get(scope, ())
