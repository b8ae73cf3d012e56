"""What is to be merged: which records into which, and by which rules; every mistake is named at once (guide §4.4)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import UUID, select

from workbench.duplicates.associations import choose_canonicals
from workbench.errors import UsageError, unknown
from workbench.murmurant.listings import read_csv
from workbench.murmurant.schema import Schema, as_text, is_one_of
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans.draft import PlanContext
from workbench.plans.rows import is_uuid
from workbench.plans.standing import merged

MERGE_RULES = {
    "canonical": "the canonical record's value stays",
    "newest": "the value of the record that was changed last, among those that have one",
    "most-complete": "the canonical record's value, and where it has none that of the fullest duplicate which has one",
}
"""How a field's value is chosen among the records that become one."""

Wanted = tuple[str | None, Sequence[str]] | tuple[str | None, Sequence[str], str]
"""A merge to plan: the record that stays (None where the rule chooses), those that go, and perhaps why."""

_PAIRS, _CLUSTERS = ("canonical", "duplicate"), ("cluster", "member")


class Merge(NamedTuple):
    """Duplicates, sorted, that go into a canonical record; what made it canonical, and why they are merged."""

    canonical: str
    duplicates: tuple[str, ...]
    chosen_by: str
    reason: str

    @property
    def records(self) -> tuple[str, ...]:
        """All of them, the one that stays first."""
        return (self.canonical, *self.duplicates)


def read_request(merges: str | Path | Iterable[Wanted]) -> pd.DataFrame:
    """Read what is to be merged: a sequence, or a CSV file.

    A file has one line for each duplicate (``canonical,duplicate``), or one for each member of a cluster
    (``cluster,member``), whose canonical record is then chosen by the rule. A ``reason`` may stand beside.

    Returns
    -------
    pandas.DataFrame
        ``record``, ``into`` (None where the rule chooses), ``cluster``, ``reason`` and ``line`` (in the file).
        ``attrs`` has the ``file`` and its ``sha256``, and by line the ``problems``: what cannot be read.
    """
    rows, problems, attrs = list[tuple[Any, ...]](), list[tuple[int, str]](), {"file": "", "sha256": ""}
    if isinstance(merges, str | Path):
        listing = read_csv(Path(merges))
        attrs = {"file": Path(merges).name, "sha256": listing.sha256}
        headings = {name.casefold() for name in listing.header}
        form = _CLUSTERS if headings & {*_CLUSTERS} and not headings & {*_PAIRS} else _PAIRS
        for line in listing.lines(listing.columns(form, ("reason", "size"))):
            group, record = (line.cells.get(name) for name in form)
            if group and record:
                into = group if form == _PAIRS else None
                rows.append((record, into, group, line.cells.get("reason", ""), line.number))
            else:
                problems.append((line.number, f"{line.problem or f'it names no {form[bool(group)]}'}."))
    else:
        for number, (into, records, *reason) in enumerate(merges):
            rows += [(record, into, str(number), "".join(reason), 0) for record in records]
    request = pd.DataFrame(rows, columns=["record", "into", "cluster", "reason", "line"], dtype=object)
    request.attrs |= {**attrs, "problems": problems}
    return request


def merges_of(
    context: PlanContext, request: pd.DataFrame, entity: str, leave_out: Collection[str] = ()
) -> list[Merge]:
    """Check the request as a whole, and choose the canonical records where nobody named them.

    A record goes into one other and once; what others go into stays. A chain (B into A, C into B) is refused: whoever
    asks says that C goes into A.

    Raises
    ------
    UsageError
        For records that are not there, are something else, or contradict one another; every one named.
    """
    schema, problems = context.schema, [*request.attrs["problems"]]
    request = request.copy()
    for column in ("record", "into"):
        request[column] = request[column].map(partial(spelled, schema, entity), na_action="ignore")
    open_ones = request["into"].isna()
    request["group"] = request["into"].mask(open_ones, "cluster " + request["cluster"])
    heads = request["into"].dropna()
    record, left_out = request["record"], {spelled(schema, entity, key) for key in leave_out}
    for key in sorted((left_out & {*heads}) | (left_out - {*record})):
        problems.append((0, f"{key!r} is to be left out, and is no duplicate in this list."))
    wrong = {
        "is listed as a duplicate of itself.": record == request["into"],
        "is to go into another record, and others into it: name one canonical record for all.": record.isin(
            heads
        ),
        "is listed twice: it can go into one record only.": record.duplicated(),
        "has no other member in its cluster.": open_ones & ~request["group"].duplicated(keep=False),
    }
    reasons = np.select([*wrong.values()], [*wrong], "")
    request = request.assign(problem=reasons)[~record.isin(left_out)]
    for row in request[request["problem"] != ""].itertuples():
        problems.append((row.line, f"{row.record} {row.problem}"))
    lines: dict[Any, Any] = {}
    for row in request.itertuples():
        lines.setdefault(row.record, row.line)
        lines.setdefault(row.into, row.line)
    lines = {key: line for key, line in lines.items() if isinstance(key, str)}
    problems += [(lines[key], problem) for key, problem in _absent(context, entity, lines).items()]
    if problems:
        texts = [f"line {line}: {text}" if line else text for line, text in sorted({*problems})]
        file = request.attrs["file"]
        heading = [f"{file} has {len(texts)} problems:"] if file else []
        raise UsageError("\n  ".join(heading + texts), "Nothing was planned; correct all of them first.")
    groups = [group for _, group in request.groupby("group") if group["into"].notna().all() or len(group) > 1]
    clusters = [[*group["record"]] for group in groups if group["into"].isna().all()]
    choices = iter(choose_canonicals(context.connection, schema, clusters, entity))
    merges = []
    for group in groups:
        canonical, by = group["into"].iloc[0], "named"
        if group["into"].isna().all():
            canonical, associations, by = next(choices)
            by += f" (rows that refer to each: {', '.join(f'{count:,}' for count in associations.values())})"
        duplicates = tuple(sorted({*group["record"]} - {canonical}))
        merges.append(Merge(canonical, duplicates, by, "; ".join(filter(None, group["reason"].unique()))))
    if not merges:
        raise UsageError("There is nothing to merge.", "Name a canonical record and at least one duplicate.")
    return sorted(merges)


def _absent(context: PlanContext, entity: str, keys: Iterable[str]) -> dict[str, str]:
    """Say of every record that is not there what it is instead, or into what it went."""
    kinds: dict[str, str] = {}
    for kind in ENTITIES:
        if kind == entity or context.schema.has(CONCEPT_OF[kind]):
            column = context.schema.entity(kind).c.id
            rows = context.connection.scalars(select(as_text(column)).where(is_one_of(column, keys)))
            kinds |= {key: kind for key in rows if kinds.get(key) != entity}
    absent = sorted(key for key in keys if kinds.get(key) != entity)
    into_others = merged(context.connection) if absent else {}
    problems = {}
    for key in absent:
        problems[key] = f"There is no {entity.lower()} {key!r}."
        if key in kinds:
            kind = kinds[key].lower()
            problems[key] = f"{key} is of another kind: `--entity {kind}` merges {kind}s."
        elif (entity, key) in into_others:
            into, how = into_others[entity, key]
            problems[key] = f"{key} is gone: it was merged into {into} ({how}). Name {into} instead."
    return problems


def spelled(schema: Schema, entity: str, key: str) -> str:
    """Return an id in the one spelling that the database has."""
    text = key.strip()
    return text.lower() if is_uuid(text) and isinstance(schema.entity(entity).c.id.type, UUID) else text


def merge_rules(
    schema: Schema, entity: str, rules: str | Mapping[str, str], by_hand: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the rule of each field (``"*"`` for the others), and each field whose value is a named record's.

    Raises
    ------
    UsageError
        For a rule or a field that does not exist, or a field that is given both.
    """
    of_fields = {"*": rules} if isinstance(rules, str) else {"*": "canonical", **rules}
    fields = fields_of(schema, entity)
    for rule in of_fields.values():
        if rule not in MERGE_RULES:
            raise unknown("rule", rule, MERGE_RULES)
    for name in {*of_fields, *by_hand} - {"*", *fields}:
        raise unknown("field", name, fields)
    if both := of_fields.keys() & by_hand.keys():
        problem = f"The field {min(both)!r} is given a rule and a record."
        raise UsageError(problem, "Name one of them: --field or --set.")
    return of_fields, {name: spelled(schema, entity, key) for name, key in sorted(by_hand.items())}


def fields_of(schema: Schema, entity: str) -> list[str]:
    """Return the columns of an entity that may be given a rule: all that can be written, but the key."""
    described = schema.catalogue.tables[schema.table_of(entity)]
    columns = described.columns.items()
    return [name for name, column in columns if not column.generated and name not in described.primary_key]
