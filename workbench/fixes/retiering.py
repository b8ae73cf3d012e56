"""Give members the tier, or the status, of their Wild Apricot level: exactly those who have another (guide §4.3).

Nobody's own decision is undone: a tier that a person set after the import stays, as the audit log
tells it, unless it is asked for. Only the reference to the tier changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from workbench.documents import Target
from workbench.errors import Refused, UsageError, unknown
from workbench.fixes.ledger import Ledger
from workbench.fixes.mistiered import Mistiered, Scope
from workbench.fixes.restoring import OnConflict
from workbench.fixes.writing import write_plan
from workbench.investigate.tiers.configuration import TierMapping
from workbench.investigate.tiers.names import nearest_name
from workbench.investigate.tiers.people import tells_of_members
from workbench.investigate.tiers.reviewing import Of, TierReview, compared, known_codes, review_tiers
from workbench.investigate.tiers.statements import IGNORED, OF_ITS_OWN, InUse, comparisons
from workbench.murmurant.references import References
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import MEMBER
from workbench.plans.drafting import Updates
from workbench.plans.plan import Header, Plan

CORRECTED = "migration:tiers:corrected"
"""How the audit log names it, in the spirit of guide §5.1."""


@dataclass(frozen=True)
class RetieringRequest:
    """What was asked for.

    Attributes
    ----------
    mappings : tuple of TierMapping
        Which tier or status each level becomes.
    of : {"tiers", "statuses"} or None
        What is corrected; None for tiers, or statuses where no tier was ever made.
    levels : tuple of str
        Only these; all when empty.
    on_conflict : {"keep", "restore"}
        What becomes of a tier that a person set after the import.
    reason : str
        Why, in the operator's words.
    """

    mappings: tuple[TierMapping, ...]
    of: Of | None = None
    levels: tuple[str, ...] = ()
    on_conflict: OnConflict = "keep"
    reason: str = ""

    @classmethod
    def checked(
        cls,
        mappings: Sequence[TierMapping],
        of: Of | None,
        levels: Sequence[str],
        on_conflict: str,
        reason: str | None,
    ) -> RetieringRequest:
        """Take what was asked for in words; `UsageError` for a word that means nothing here."""
        if on_conflict not in ("keep", "restore"):
            raise unknown("way with conflicts", on_conflict, ("keep", "restore"))
        if reason is not None and not reason.strip():
            raise UsageError("The reason is empty.", "Say why, or leave --reason out.")
        way: OnConflict = "restore" if on_conflict == "restore" else "keep"
        return cls(tuple(mappings), of, tuple(sorted(set(levels))), way, (reason or "").strip())

    def parameters(self, used: InUse, mapping: TierMapping) -> dict[str, Any]:
        """Return them as a plan's header has them: no path of this machine."""
        return {
            "mapping": mapping.name,
            "mapping_sha256": mapping.sha256,
            "corrects": used.kind,
            "levels": list(self.levels),
            "on_conflict": self.on_conflict,
        }


def plan_retiering(
    connection: Connection,
    schema: Schema,
    request: RetieringRequest,
    *,
    last_import: datetime | None,
    target: Target,
    planned_by: str,
    folder: Path,
) -> Plan:
    """Plan the correction of the tiers.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a reading, repeatable-read transaction; nothing else is needed.
    last_import : datetime or None
        When the last live run ended, UTC, without zone: members written to since are counted.
    folder : Path
        Where the plan file is written.

    Raises
    ------
    UsageError
        When the configuration names a tier that is not here, or a level is asked for that nobody has.
    Refused
        When no configuration speaks of what is to be corrected, it leaves a level open, a tier cannot be told
        apart, or nothing is wrong.
    """
    first = comparisons(connection, schema, request.mappings)[0][0].kind
    of = request.of or ("tiers" if first == "tier" else "statuses")
    used, mapping = compared(connection, schema, request.mappings, of)
    review = review_tiers(connection, schema, request.mappings).both[used.kind]
    _refuse_unknown_codes(connection, review, used)
    _refuse_open_levels(review, request)
    table, column = schema.table_of(MEMBER), schema.resolved["members"].spelling[used.column]
    scope = Scope(connection, schema, used, mapping, request.levels)
    ledger, corrected, touched = Ledger(), Counter[str](), 0
    ledger.unresolved = [(table, *each) for each in scope.undecided()]
    with ExitStack() as stack:
        updates = stack.enter_context(Updates())
        for each in chain.from_iterable(scope.mistiered(last_import)):
            if each.person:
                _note_a_persons(ledger, table, column, each, request.on_conflict)
                if request.on_conflict == "keep":
                    continue
            updates.add(table, each.key, each.digest, {column: (each.held, each.right)})
            corrected[f"{each.actual or 'none'} -> {each.expected}"] += 1
            touched += each.since
        if not updates.total:
            raise _nothing_to_correct(review, ledger)
        header = Header(
            kind="tiers",
            parameters=request.parameters(used, mapping),
            reasons=_reasons(request, review, mapping, updates.total),
            target=target,
            planned_by=planned_by,
            evidence=(f"{mapping.kind} {mapping.name}, SHA-256 {mapping.sha256}",),
            notes=tuple(_notes(schema, review, mapping, request, used, corrected, touched)),
            audit=(
                {
                    "action": CORRECTED,
                    "metadata": {
                        "configuration": mapping.name,
                        "configuration_sha256": mapping.sha256,
                        "corrected": dict(sorted(corrected.items())),
                        "column": column,
                        "records_affected": updates.total,
                    },
                },
            ),
        )
        return write_plan(connection, References(schema), header, ledger, updates, folder)


def _refuse_unknown_codes(connection: Connection, review: TierReview, used: InUse) -> None:
    known = Counter(known_codes(connection, used))
    if not known:
        raise Refused(
            f"There is no membership {used.kind} here at all.", "Seed them before members are corrected."
        )
    strange = review.unknown_codes
    if len(strange):
        told = "; ".join(
            f"{code!r} (for {levels}){f', nearest: {near}' if near else ''}"
            for code, levels, near in strange.itertuples(index=False)
        )
        raise UsageError(
            f"The configuration names {used.kind} codes that have no row here: {told}.",
            f"Correct the codes, or seed the rows ({', '.join(known)} are here). Nothing was planned.",
        )
    assert review.mapping is not None
    twice = [code for code in review.mapping.codes if known[code] > 1]
    if twice:
        raise Refused(
            f"There is more than one {used.kind} {twice[0]!r}, so nobody can tell which is meant.",
            "Merge them first.",
        )


def _refuse_open_levels(review: TierReview, request: RetieringRequest) -> None:
    present = {level for level in review.matrix["level"] if isinstance(level, str)}
    for level in request.levels:
        if level not in present:
            close = nearest_name(level, present)
            raise UsageError(
                f"No member has the level {level!r}.",
                f"Nearest: {close!r}." if close else "See `workbench tiers`.",
            )
    assert review.mapping is not None
    open_levels = review.open_levels
    if request.levels:
        open_levels = open_levels[open_levels["level"].isin(request.levels)]
    if not len(open_levels):
        return
    told = "; ".join(
        f"{level!r} of {members:,} members"
        + (f", nearest: {near!r}" if near else ", nothing near it")
        + (f" (the default would make it {default})" if default else "")
        for level, members, near, default, _ in open_levels.itertuples(index=False)
    )
    raise Refused(
        f"The configuration {review.mapping.name} does not name the level {told}.",
        "Add a line for it, letter by letter, or correct only the levels you name with --level. Nothing was planned.",
    )


def _note_a_persons(ledger: Ledger, table: str, column: str, each: Mistiered, way: OnConflict) -> None:
    who = f"member {each.by}" if each.by else "a person"
    when = f" on {each.at:%Y-%m-%d}" if each.at else ""
    said = f"{who} changed it{when}, says the audit log; the configuration gives {each.expected}"
    ledger.conflicts.append((table, each.key, column, None, each.was, each.held, f"{said}; {way}"))
    if way == "keep":
        ledger.kept.append((table, each.key, f"{column}: {said}"))


def _nothing_to_correct(review: TierReview, ledger: Ledger) -> Refused:
    what = f"Nothing to correct: nobody has another {review.kind} than their level's"
    if ledger.conflicts:
        return Refused(
            f"{what}, but for {len(ledger.conflicts):,} that a person set.",
            "{0} {1}: {6}. --on-conflict restore would change it.".format(*ledger.conflicts[0]),
        )
    if ledger.unresolved:
        return Refused(
            f"{what}, as far as that is known; {len(ledger.unresolved):,} members are unresolved.",
            "{} {}: {}. What would resolve it: {}.".format(*ledger.unresolved[0]),
        )
    return Refused(f"{what}.", "`workbench tiers` shows them.")


def _reasons(
    request: RetieringRequest, review: TierReview, mapping: TierMapping, total: int
) -> tuple[str, ...]:
    among = f" of the level {', '.join(map(repr, request.levels))}" if request.levels else ""
    said = (
        f"Gives {total:,} of {review.members:,} members{among} the membership {review.kind} that"
        f" {mapping.name} gives their Wild Apricot level (guide §4.3)."
    )
    return (said, request.reason) if request.reason else (said,)


def _notes(
    schema: Schema,
    review: TierReview,
    mapping: TierMapping,
    request: RetieringRequest,
    used: InUse,
    corrected: Counter[str],
    touched: int,
) -> Iterator[str]:
    column = schema.resolved["members"].spelling[used.column]
    for change, count in sorted(corrected.items()):
        yield f"{change}: {count:,}."
    yield (
        f"Only {column} changes: updatedAt stays, since a plan holds no clock; the journal and the audit"
        " entry say when it was applied."
    )
    if used.kind == "status":
        if not request.of:
            yield "No tier was ever made here, so it corrects the membership status."
        if own := review.count(OF_ITS_OWN):
            yield (
                f"{own:,} members with a status that the configuration does not give, which an importer set by"
                " other rules, are left alone."
            )
    if review.as_in_wa:
        yield (
            f"{review.as_in_wa:,} members have the status that Wild Apricot itself gave their contact, and"
            f" {mapping.name} gives their level another: be sure that it is meant so."
        )
    if mapping.ignored:
        yield (
            f"{review.count(IGNORED):,} members of levels that {mapping.name} ignores"
            f" ({', '.join(mapping.ignored)}) are left alone."
        )
    yield from mapping.remarks
    for level, members, _, default, _ in review.unknown_levels.itertuples(index=False):
        if default and (not request.levels or level in request.levels):
            yield f"No line names the level {level!r} of {members:,} members; the default makes it {default}."
    if not tells_of_members(schema):
        yield "The audit log here does not say who changed a member, so a tier set by hand cannot be told apart."
    if touched:
        yield f"{touched:,} of them were written to after the last import; nothing says that it was their {review.kind}."
