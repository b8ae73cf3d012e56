"""The members as the engine compares them: folded, and each distinct value a number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from itertools import islice, pairwise
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, select

from workbench.duplicates.matching.folding import fold_email, fold_name, fold_phone, own_part
from workbench.murmurant.schema import Schema, as_text, explain_gap
from workbench.normalise import normalise

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

MISSING = -1
NO_DAY = -(2**31)
_EPOCH = date(1970, 1, 1)
_FETCH = 20_000
_COMPARED = ("first_name", "last_name", "email", "phone", "joined_at")


class Row(NamedTuple):
    """One member as the database has them."""

    id: str
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    joined_at: date | None = None


@dataclass(frozen=True)
class People:
    """All members, by position; arrays of one length, sorted by id.

    Attributes
    ----------
    ids : list of str
        Ascending byte by byte, so that position and id are in one order.
    names, locals, domains, phones : list of str
        The distinct values that the codes below point into; -1 is a value that is missing.
    given, family : array of int32
        Codes of names; one vocabulary, since the two may be in each other's place.
    generation : array of int32
        0 for none, 1 for Sr, 2 for Jr, ...
    local, domain, phone : array of int32
        Codes of the two sides of an e-mail address's mailbox, and of phone numbers.
    plain, dotted : array of int64
        Sums that tell two spellings of one mailbox apart: any, or those that differ in their dots.
    own : array of int32
        How many signs an address has beyond its owner's name.
    called : array of int32
        1 where the plus tag of the address is its owner's first name: the mailbox is another's, or a family's.
    joined : array of int32
        Days since 1970; `NO_DAY` when missing.
    left_out : tuple of str
        Columns this database lacks, each a sentence.
    """

    ids: list[str]
    names: list[str]
    locals: list[str]
    domains: list[str]
    phones: list[str]
    given: Ints
    family: Ints
    generation: Ints
    local: Ints
    domain: Ints
    phone: Ints
    plain: Longs
    dotted: Longs
    own: Ints
    called: Ints
    joined: Ints
    left_out: tuple[str, ...] = ()

    @cached_property
    def local_digits(self) -> Ints:
        """One number for each local part's digits, and 0 for none."""
        codes: dict[str, int] = {"": 0}
        digits = ("".join(filter(str.isdigit, local)) for local in self.locals)
        return np.array([*(codes.setdefault(each, len(codes)) for each in digits), MISSING], dtype=np.int32)

    @cached_property
    def phone_ends(self) -> tuple[Longs, Longs, Longs]:
        """For each phone number its length, its last ten digits' first six, and its last four."""
        lengths = [*map(len, self.phones), MISSING]
        starts = [*(int(number[-10:][:6]) for number in self.phones), MISSING]
        ends = [*(int(number[-4:]) for number in self.phones), MISSING]
        return np.array(lengths, np.int64), np.array(starts, np.int64), np.array(ends, np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def mailbox(self) -> Longs:
        """One number per mailbox; -1 without one."""
        both = self.local.astype(np.int64) * (len(self.domains) + 1) + self.domain
        return np.where(self.local == MISSING, MISSING, both)


def says_own(people: People, at: int) -> bool:
    """Whether the address of somebody says their first name."""
    name, local = people.given[at], people.local[at]
    return bool(
        name != MISSING and local != MISSING and people.names[name].replace(" ", "") in people.locals[local]
    )


def read_people(connection: Connection, schema: Schema) -> People:
    """Read the members, in portions; a column that this database lacks is left out, and said.

    Raises
    ------
    SchemaGap
        Without first names and surnames there is nobody to compare.
    """
    schema.require("members.id", "members.first_name", "members.last_name")
    members = schema.members
    missing = set(schema.missing(*(f"members.{column}" for column in _COMPARED)))
    there = [column for column in _COMPARED if f"members.{column}" not in missing]
    question = select(as_text(members.c.id), *(members.c[column] for column in there))
    found = connection.execute(question.execution_options(stream_results=True, yield_per=_FETCH))
    left_out = tuple(f"{' '.join(explain_gap(need))} It is not compared." for need in sorted(missing))
    return gather((Row(row[0], **dict(zip(there, row[1:], strict=True))) for row in found), left_out)


class _Codes(dict[str, int]):
    """A number for each distinct value, in order of first sight."""

    def of(self, value: str) -> int:
        return self.setdefault(value, len(self)) if value else MISSING


def gather(rows: Iterable[Row], left_out: tuple[str, ...] = ()) -> People:
    """Fold members and number their values; the order of the rows does not matter.

    Raises
    ------
    ValueError
        When two rows have one id.
    """
    names, sides, domains, phones = _Codes(), _Codes(), _Codes(), _Codes()
    ids: list[str] = []
    parts: list[npt.NDArray[np.int64]] = []
    folded = _fold(rows, ids, names, sides, domains, phones)
    while portion := list(islice(folded, _FETCH)):
        parts.append(np.array(portion, dtype=np.int64))
    table = np.concatenate(parts) if parts else np.empty((0, 11), dtype=np.int64)
    order = sorted(range(len(ids)), key=ids.__getitem__)
    table = table[np.array(order, dtype=np.int64)]
    ids = [ids[at] for at in order]
    if any(one == other for one, other in pairwise(ids)):
        raise ValueError("Two members have one id.")
    ints = [np.ascontiguousarray(column, dtype=np.int32) for column in np.delete(table, (6, 7), axis=1).T]
    given, family, generation, local, domain, phone, own, called, joined = ints
    values = (list(names), list(sides), list(domains), list(phones))
    return People(
        ids,
        *values,
        given,
        family,
        generation,
        local,
        domain,
        phone,
        table[:, 6].copy(),
        table[:, 7].copy(),
        own,
        called,
        joined,
        left_out,
    )


def _fold(
    rows: Iterable[Row], ids: list[str], names: _Codes, sides: _Codes, domains: _Codes, phones: _Codes
) -> Iterator[tuple[int, ...]]:
    seen: dict[str | None, Any] = {}
    for row in rows:
        for text in (row.first_name, row.last_name):
            if text not in seen:
                seen[text] = fold_name(text)
        given, family = seen[row.first_name], seen[row.last_name]
        email = fold_email(row.email)
        ids.append(row.id)
        yield (
            names.of(given.words),
            names.of(family.words),
            int(family.generation or given.generation or 0),
            sides.of(email.local) if email else MISSING,
            domains.of(email.domain) if email else MISSING,
            phones.of(fold_phone(row.phone)),
            crc32(email.plain.encode()) if email else 0,
            crc32(email.dotted.encode()) if email else 0,
            len(own_part(email.local, (given.words, family.words))) if email else 0,
            int(bool(email and given.words and normalise(email.tag).startswith(given.words))),
            _day(row.joined_at),
        )


def _day(moment: date | None) -> int:
    if moment is None:
        return NO_DAY
    return ((moment.date() if isinstance(moment, datetime) else moment) - _EPOCH).days
