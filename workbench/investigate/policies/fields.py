"""Kinds of rules about a field of any record: within bounds, and not empty."""

from __future__ import annotations

import datetime as dates
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator
from sqlalchemy import ColumnElement, Select, Text, case, func, literal, or_, select

from workbench.investigate.policies.ground import Ground
from workbench.investigate.policies.rule import Entity, Rule, Whole, Words, canonical, label
from workbench.murmurant.schema import as_text, named
from workbench.murmurant.spellings import CONCEPT_OF

_VISIBLE = "[^[:space:]\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f\u2060\u3000\ufeff]"
"""What a text needs one of, not to be empty: the database's own idea of a space may know ASCII only."""


class InRange(Rule):
    """A field must lie within bounds."""

    scope: Entity
    field: Words
    fix: None = None

    @model_validator(mode="after")
    def _field_is_known(self) -> InRange:
        canonical(self.scope, self.field)
        return self

    @property
    def column(self) -> str:
        """Our name of the field."""
        return canonical(self.scope, self.field)

    @property
    def needs(self) -> tuple[str, ...]:
        """The field."""
        return (*super().needs, f"{CONCEPT_OF[self.scope]}.{self.column}")

    @abstractmethod
    def outside(self, ground: Ground, value: Any) -> ColumnElement[bool]:
        """Whether a value lies outside the bounds."""

    def culprits(self, ground: Ground) -> Select[Any]:
        """Select the records whose field lies outside."""
        own = self.source(ground)
        shown = dict.fromkeys((*label(self.scope), self.column))
        return (
            select(as_text(own.c.id).label("key"), *named(own, *shown))
            .where(self.outside(ground, own.c[self.column]), *self.among(ground))
            .order_by("key")
        )


class DateRange(InRange):
    """A date must lie between one in the past and so many days from now."""

    ask: Literal["date-range"]
    not_before: dates.date | None = None
    days_ahead: Annotated[int, Field(strict=True, ge=0)] | None = None
    question: Words = "Does every date lie where it can?"
    remedy: Words = "Look the date up in the source: two digits of a year, or day and month swapped."
    symptom: ClassVar[str] = "Invalid date ranges"

    @field_validator("not_before", mode="before")
    @classmethod
    def _a_day(cls, value: Any) -> Any:
        if value is not None and (not isinstance(value, dates.date) or isinstance(value, dates.datetime)):
            raise ValueError("write a day without quotes: 1990-01-31")
        return value

    @model_validator(mode="after")
    def _some_bound(self) -> DateRange:
        if self.not_before is None and self.days_ahead is None:
            raise ValueError("a date-range needs not_before, days_ahead or both")
        return self

    def outside(self, ground: Ground, value: Any) -> ColumnElement[bool]:
        """Whether a moment is too early or too late."""
        bounds: list[ColumnElement[bool]] = []
        if self.not_before is not None:
            bounds.append(value < dates.datetime.combine(self.not_before, dates.time()))
        if self.days_ahead is not None:
            bounds.append(value > ground.now + dates.timedelta(days=self.days_ahead))
        return or_(*bounds)


class NumberRange(InRange):
    """A number must be no less and no more than something."""

    ask: Literal["number-range"]
    least: Whole | None = None
    most: Whole | None = None
    question: Words = "Is every number as large as it can be, and no larger?"

    @model_validator(mode="after")
    def _some_bound(self) -> NumberRange:
        if self.least is None and self.most is None:
            raise ValueError("a number-range needs least, most or both")
        return self

    def outside(self, ground: Ground, value: Any) -> ColumnElement[bool]:
        """Whether a number is too small or too large."""
        bounds: list[ColumnElement[bool]] = []
        if self.least is not None:
            bounds.append(value < self.least)
        if self.most is not None:
            bounds.append(value > self.most)
        return or_(*bounds)


class Required(Rule):
    """Fields that must not be empty."""

    ask: Literal["required"]
    scope: Entity
    fields: Annotated[tuple[Words, ...], Field(min_length=1)]
    fix: None = None
    question: Words = "Is every field filled that must be?"
    remedy: Words = "Fill them in from the source; the transform that left them empty wants looking at."

    @model_validator(mode="after")
    def _fields_are_known(self) -> Required:
        for each in self.fields:
            canonical(self.scope, each)
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """The fields."""
        columns = (canonical(self.scope, each) for each in self.fields)
        return (*super().needs, *(f"{CONCEPT_OF[self.scope]}.{each}" for each in columns))

    def culprits(self, ground: Ground) -> Select[Any]:
        """Select records with an empty field, and which it is."""
        own = self.source(ground)
        empty: dict[str, ColumnElement[bool]] = {}
        for each in self.fields:
            column = own.c[canonical(self.scope, each)]
            blank: ColumnElement[bool] = column.is_(None)
            if isinstance(column.type, Text):
                blank = or_(blank, ~column.regexp_match(_VISIBLE))
            empty[each] = blank
        absent = func.concat_ws(
            ", ", *(case((blank, literal(name)), else_=None) for name, blank in empty.items())
        )
        return (
            select(
                as_text(own.c.id).label("key"), *named(own, *label(self.scope)), absent.label("empty_field")
            )
            .where(or_(*empty.values()), *self.among(ground))
            .order_by("key")
        )
