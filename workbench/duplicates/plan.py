"""Plan merges: duplicates are deleted, and everything that refers to them moves to the canonical record (guide §4.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import UUID, select

from workbench.duplicates.moves import Blocked, Merge, Moves
from workbench.duplicates.next_sync import next_sync
from workbench.duplicates.records import choose_canonicals, writable_columns
from workbench.errors import Refused, UsageError, unknown
from workbench.mappings.queries import NEEDS
from workbench.murmurant.importers import MAPPING_CORRECTED, MERGED
from workbench.murmurant.listings import read_csv
from workbench.murmurant.schema import Schema, as_text, is_one_of
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, REGISTRATION
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.journal import merged_records
from workbench.plans.plan import Plan
from workbench.plans.rows import Current, current_rows, is_uuid

MERGE_RULES = {
    "canonical": "the canonical record's value stays",
    "newest": "the value of the record that was changed last, among those that have one",
    "most-complete": "the canonical record's value, and where it has none that of the fullest duplicate which has one",
}
"""How a column's value is chosen among the records that become one."""

MergeRequest = tuple[str | None, Sequence[str]] | tuple[str | None, Sequence[str], str]
"""A merge to plan: the canonical record (None to let the rule choose), the others, and optionally why."""

_OWN = ("id", "created_at", "updated_at", "run_id")
"""Columns about the record, not the person: only a rule for that very column changes them."""

_PAIRS, _CLUSTERS = ("canonical", "duplicate"), ("cluster", "member")


def plan_merges(
    context: PlanContext,
    request: pd.DataFrame,
    entity: str,
    rules: str | Mapping[str, str],
    by_hand: Mapping[str, str],
    keep: Collection[str],
    leave_out: Collection[str],
    skip_blocked: bool,
) -> Plan:
    """Plan to merge duplicates, all in one plan: see `workbench.duplicates.questions.Duplicates.plan_merges`.

    Raises
    ------
    UsageError
        For records that do not exist, are of another kind, or contradict one another; all are named.
    Refused
        For a merge that no rule can decide, with the rows and what to do.
    """
    schema = context.schema
    if entity not in ENTITIES:
        raise unknown("entity", entity, ENTITIES)
    table, kept = schema.table_of(entity), {spelled(schema, entity, key) for key in keep}
    rules, by_hand = _rules(schema, entity, rules, by_hand)
    merges = _merges(context, request, entity, {spelled(schema, entity, key) for key in leave_out})
    ids = sorted({record for merge in merges for record in merge.records})
    if strangers := sorted({*by_hand.values()} - {*ids}):
        problem = f"A value is to come from {strangers[0]}, which is not among the records to merge."
        raise UsageError(problem, "Name one of them.")
    records = dict(current_rows(context.raw, schema.catalogue, table, ids))
    if entity == REGISTRATION:
        _refuse_different_registrations(schema, merges, records)
    with Draft(context, "merge") as draft:
        moves = Moves(context, table, merges, kept)
        while blocked := moves.blocked():
            if not skip_blocked or len(blocked) == len(merges):
                raise _refusal(blocked, len(merges))
            for merge in merges:
                for obstacle in blocked.get(merge.canonical, ()):
                    for duplicate in merge.duplicates:
                        reason = f"not merged into {merge.canonical}: {obstacle}"
                        draft.unresolved(table, duplicate, reason, obstacle.remedy)
            merges = [merge for merge in merges if merge.canonical not in blocked]
            moves = Moves(context, table, merges, kept)
        if unused := sorted(kept.difference(*(child.losers.values() for child in moves.children.values()))):
            raise UsageError(
                f"--keep names {unused[0]}, but this row collides with no other.", "Leave --keep out."
            )
        wa_ids, facts, updates = _wa_ids(schema, moves), [], dict[str, dict[str, dict[str, str | None]]]()
        for merge in merges:
            changes, fields = _surviving(schema, entity, merge, records, rules, by_hand)
            updates.setdefault(table, {})[merge.canonical] = changes
            facts.append(
                {
                    "wa_ids": {key: sorted(wa_ids[key]) for key in merge.records if key in wa_ids},
                    "canonical": merge.canonical,
                    "duplicates": list(merge.duplicates),
                    "chosen_by": merge.chosen_by,
                    "reason": merge.reason or None,
                    **fields,
                }
            )
        draft.parameters |= {
            "entity": entity,
            "file": request.attrs["file"] or None,
            "rule": rules.pop("*"),
            "fields": dict(sorted(rules.items())),
            "by_hand": [f"{name}={record}" for name, record in by_hand.items()],
            "keep": sorted(kept),
            "skip_blocked": skip_blocked,
            "merges": facts,
            "conservation": moves.proof(),
        }
        _explain(draft, entity, merges, request.attrs)
        _log(draft, entity, merges, moves)
        for name, losers in moves.gone.items():
            draft.delete(name, losers)
        for name, child in moves.children.items():
            for key in {**child.moved, **child.losers}:
                goes = moves.goes(name, key)
                if child.rewritten:
                    draft.rewrite(name, child.rows[key], {} if goes else child.moved[key])
                elif not goes:  # a canonical record may itself refer to a duplicate
                    updates.setdefault(name, {}).setdefault(key, {}).update(child.moved[key])
        for name in sorted(updates):
            draft.update(name, updates[name])
    return draft.plan


def read_request(merges: str | Path | Iterable[MergeRequest]) -> pd.DataFrame:
    """Read what to merge: a sequence, or a CSV file.

    A file has a line for each duplicate (``canonical,duplicate``), or for each member of a cluster
    (``cluster,member``), whose canonical record the rule chooses. A ``reason`` is optional.

    Returns
    -------
    pandas.DataFrame
        ``record``, ``into`` (None where the rule chooses), ``cluster``, ``reason`` and ``line`` (in the file).
        ``attrs`` has the ``file``, its ``sha256``, and the ``problems``: lines that cannot be read, by number.
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


def spelled(schema: Schema, entity: str, key: str) -> str:
    """Return an id as the database spells it."""
    text = key.strip()
    return text.lower() if is_uuid(text) and isinstance(schema.entity(entity).c.id.type, UUID) else text


def _merges(
    context: PlanContext, request: pd.DataFrame, entity: str, left_out: Collection[str]
) -> list[Merge]:
    """Check the request as a whole, and choose the canonical records that it does not name.

    A record goes into one other record, once, and a record that others go into stays: a chain (B into A, C into B) is
    refused.
    """
    problems, schema = [*request.attrs["problems"]], context.schema
    normal = partial(spelled, schema, entity)
    record, into = request["record"].map(normal), request["into"].map(normal, na_action="ignore")
    heads = {*into.dropna()}
    for key in sorted((set(left_out) & heads) | (set(left_out) - {*record})):
        problems.append((0, f"{key!r} cannot be left out: it is no duplicate in this list."))
    wrong = {
        "is listed as a duplicate of itself.": record == into,
        "goes into another record, and others into it: name one canonical record.": record.isin(heads),
        "is listed twice: it can go into one record only.": record.duplicated(),
        "has no other member in its cluster.": into.isna() & ~request["cluster"].duplicated(keep=False),
    }
    problem = np.select([*wrong.values()], [*wrong], "")
    request = request.assign(record=record, into=into, problem=problem)[~record.isin(left_out)]
    lines: dict[str, int] = {}
    for row in request.to_dict("records"):
        for key in (row["record"], row["into"]):
            if isinstance(key, str):
                lines.setdefault(key, row["line"])
        if row["problem"]:
            problems.append((row["line"], f"{row['record']} {row['problem']}"))
    problems += [(lines[key], problem) for key, problem in _absent(context, entity, lines).items()]
    if problems:
        texts = [f"line {line}: {text}" if line else text for line, text in sorted({*problems})]
        file = request.attrs["file"]
        heading = [f"{file} has {len(texts)} problems:"] if file else []
        raise UsageError("\n  ".join(heading + texts), "Nothing was planned; correct all of them first.")
    clusters = request[request["into"].isna()].groupby("cluster")["record"].agg(list)
    clusters = clusters[clusters.map(len) > 1]
    choices = choose_canonicals(context.connection, schema, [*clusters], entity)
    canonicals = dict(zip(clusters.index, [choice.canonical for choice in choices], strict=True))
    chosen_by = {}
    for choice in choices:
        counts = ", ".join(f"{count:,}" for count in choice.associations.values())
        chosen_by[choice.canonical] = f"{choice.by} (rows that refer to each: {counts})"
    request["into"] = request["into"].fillna(request["cluster"].map(canonicals))
    merges = []
    for canonical, rows in request[request["record"] != request["into"]].groupby("into"):
        reason = "; ".join(filter(None, rows["reason"].unique()))
        by = chosen_by.get(str(canonical), "named")
        merges.append(Merge(str(canonical), tuple(sorted(rows["record"])), by, reason))
    if not merges:
        raise UsageError("There is nothing to merge.", "Name a canonical record and at least one duplicate.")
    return merges


def _absent(context: PlanContext, entity: str, keys: Iterable[str]) -> dict[str, str]:
    """Say of every record that does not exist what has its id instead, or what it was merged into."""

    def existing(kind: str, keys: Iterable[str]) -> set[str]:
        column = context.schema.entity(kind).c.id
        return {*context.connection.scalars(select(as_text(column)).where(is_one_of(column, keys)))}

    absent = sorted({*keys} - existing(entity, keys))
    kinds = [kind for kind in ENTITIES if kind != entity and context.schema.has(CONCEPT_OF[kind])]
    others = {key: kind.lower() for kind in kinds for key in existing(kind, absent)} if absent else {}
    canonicals = merged_records(context.connection) if absent else {}
    problems = {}
    for key in absent:
        problems[key] = f"There is no {entity.lower()} {key!r}."
        if key in others:
            problems[key] += " It is of another kind: `--entity {0}` merges {0}s.".format(others[key])
        elif (entity, key) in canonicals:
            problems[key] += " It was merged into {} ({}).".format(*canonicals[entity, key])
    return problems


def _rules(
    schema: Schema, entity: str, rules: str | Mapping[str, str], by_hand: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the rule of each column (``"*"`` for the others), and the record whose value a column takes by hand."""
    by_column = {"*": rules} if isinstance(rules, str) else {"*": "canonical", **rules}
    columns = writable_columns(schema, entity)
    for rule in by_column.values():
        if rule not in MERGE_RULES:
            raise unknown("rule", rule, MERGE_RULES)
    for name in {*by_column, *by_hand} - {"*", *columns}:
        raise unknown("field", name, columns)
    if both := by_column.keys() & by_hand.keys():
        problem = f"The field {min(both)!r} is given a rule and a record."
        raise UsageError(problem, "Name one of them: --field or --set.")
    return by_column, {name: spelled(schema, entity, key) for name, key in sorted(by_hand.items())}


def _surviving(
    schema: Schema,
    entity: str,
    merge: Merge,
    records: Mapping[str, Current],
    rules: Mapping[str, str],
    by_hand: Mapping[str, str],
) -> tuple[dict[str, str | None], dict[str, Any]]:
    """Decide for each column which record's value stays.

    Returns
    -------
    tuple of dict
        The columns of the canonical record that change, to their new value; and as facts the ``fields``, each to the
        record that its value comes ``from`` and the ``rule``, and those ``given_up``, of which another value is lost.
    """
    changes, taken, given_up = dict[str, str | None](), {}, {}
    spelling = schema.resolved[CONCEPT_OF[entity]].spelling
    own = {spelling[name] for name in _OWN if name in spelling}
    values = {key: records[key].values for key in merge.records}
    filled = {key: {name for name, value in values[key].items() if value and value.strip()} for key in values}

    def changed(key: str) -> tuple[str, bool]:
        moments = (values[key].get(spelling.get(name, "")) for name in ("updated_at", "created_at"))
        return next(filter(None, moments), ""), key == merge.canonical

    newest = sorted(merge.records, key=changed, reverse=True)
    fullest = sorted(merge.duplicates, key=lambda key: (-len(filled[key]), newest.index(key)))
    orders = {"canonical": [], "newest": newest, "most-complete": [merge.canonical, *fullest]}
    for column in writable_columns(schema, entity):
        rule = rules.get(column, "canonical" if column in own else rules["*"])
        source = next((key for key in orders[rule] if column in filled[key]), merge.canonical)
        if by_hand.get(column) in values:
            source, rule = by_hand[column], "by hand"
        value = values[source][column]
        if value != values[merge.canonical][column]:
            changes[column] = value
            taken[column] = {"from": source, "rule": rule}
        if column not in own and any(
            column in filled[key] and values[key][column] != value for key in values
        ):
            given_up[column] = rule
    return changes, {"fields": taken, "given_up": dict(sorted(given_up.items()))}


def _refuse_different_registrations(
    schema: Schema, merges: Sequence[Merge], records: Mapping[str, Current]
) -> None:
    spelling = schema.resolved["registrations"].spelling
    names = [spelling[name] for name in ("event_id", "member_id") if name in spelling]
    for merge in merges:
        if len({tuple(records[key].values[name] for name in names) for key in merge.records}) > 1:
            raise Refused(
                f"The registrations {', '.join(merge.records)} are not of one member for one event.",
                "Merge the members, or the events: that plan merges their registrations too.",
            )


def _refusal(blocked: Mapping[str, Sequence[Blocked]], count: int) -> Refused:
    lines = [
        f"into {canonical}: {obstacle}. {obstacle.remedy}."
        for canonical, obstacles in sorted(blocked.items())
        for obstacle in obstacles
    ]
    return Refused(
        "\n  ".join([f"{len(blocked):,} of {count:,} merges cannot be decided by any rule:", *lines]),
        "Leave a record out with --except ID, or plan the other merges of a list with --skip-blocked. Nothing was planned.",
    )


def _wa_ids(schema: Schema, moves: Moves) -> dict[str, set[str]]:
    """Return the WA ids that are mapped to each of the records."""
    wa_ids: dict[str, set[str]] = {}
    if schema.has(*NEEDS) and (child := moves.children.get(schema.resolved["mappings"].table)):
        column = schema.resolved["mappings"].spelling["wa_id"]
        for key, row in child.rows.items():
            for reference, record in child.targets(key):
                if reference.parent == moves.table:
                    wa_ids.setdefault(record, set()).add(str(row.values[column]))
    return wa_ids


def _explain(draft: Draft, entity: str, merges: Sequence[Merge], listing: Mapping[Any, Any]) -> None:
    """Add the plan's reason, its evidence, and what whoever approves it should know."""
    count, facts = sum(len(merge.duplicates) for merge in merges), draft.parameters["merges"]
    into = f"{len(merges):,} records" if len(merges) > 1 else merges[0].canonical
    because = f": {merges[0].reason}" if merges[0].reason and len(merges) == 1 else ""
    draft.reasons.append(
        f"Merges {count:,} duplicate {entity.lower()}{'s' * (count > 1)} into {into}{because}."
    )
    if listing["file"]:
        draft.evidence.append(f"the list {listing['file']}, SHA-256 {listing['sha256']}")
    draft.evidence += sorted({f"reason given: {merge.reason}" for merge in merges if merge.reason})[:10]
    draft.evidence += [] if draft.evidence else ["requested by the operator"]
    chosen = Counter(
        merge.chosen_by.split(" (")[0] if len(merges) > 1 else merge.chosen_by for merge in merges
    )
    choices = ", ".join(f"{count:,} by {by}" for by, count in sorted(chosen.items()))
    draft.note(f"Canonical records: {choices}.")
    fates = Counter[tuple[str, str, str]]()
    for merge in facts:
        fates.update(
            (name, "comes from a duplicate", source["rule"]) for name, source in merge["fields"].items()
        )
        fates.update(
            (name, "has several values, of which one stays", rule) for name, rule in merge["given_up"].items()
        )
    for (name, fate, rule), count in sorted(fates.items()):
        draft.note(f"{name} {fate} in {count:,} of {len(merges):,} merges (rule: {rule}).")
    audit = draft.context.schema.resolved.get("audit")
    if audit is not None and "resource_id" in audit.spelling:
        column = f"{audit.table}.{audit.spelling['resource_id']}"
        draft.note(f"{column} is history and stays: it names the duplicates by their old ids.")
    draft.notes += next_sync(draft.parameters)


def _log(draft: Draft, entity: str, merges: Sequence[Merge], moves: Moves) -> None:
    """Have the apply log each merge, with its rows moved and deleted, and each mapping that moves (guide §4.2)."""
    moved, deleted = Counter[str](), Counter[str]()
    for name, child in moves.children.items():
        deleted.update(owner for key in child.losers for owner in moves.owners[name, key])
        staying = (key for key in child.moved if not moves.goes(name, key))
        moved.update(owner for key in staying for owner in moves.owners[name, key])
    for merge in merges:
        counts = {"records_moved": moved[merge.canonical]}
        counts["records_deleted"] = deleted[merge.canonical] + len(merge.duplicates)
        duplicates = list(merge.duplicates)
        draft.log(MERGED, entity=entity, canonical=merge.canonical, duplicates=duplicates, **counts)
    mappings = draft.context.schema.resolved.get("mappings")
    child_of_mappings = moves.children.get(mappings.table) if mappings else None
    if mappings is None or child_of_mappings is None or not draft.context.schema.has(*NEEDS):
        return
    for key, changes in child_of_mappings.moved.items():
        if not moves.goes(mappings.table, key):
            values, (column, target) = child_of_mappings.rows[key].values, next(iter(changes.items()))
            wa_id, kind = (values[mappings.spelling[name]] for name in ("wa_id", "entity_type"))
            ids = {"oldMurmurantId": values[column], "newMurmurantId": target}
            draft.log(MAPPING_CORRECTED, waId=wa_id, entityType=kind, **ids)
