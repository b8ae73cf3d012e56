"""What exists more than once, what people decided about it, and the plan that merges it (guide §1.4, §4.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd

from workbench.answer import Answer, Step
from workbench.covering import answering, covering
from workbench.duplicates.answers import (
    across_answer,
    duplicates_answer,
    entity_option,
    refuse_across,
    training_answer,
)
from workbench.duplicates.candidates import FLOOR, duplicate_members, duplicate_registrations
from workbench.duplicates.events import duplicate_events
from workbench.duplicates.matching import DEFAULT_THRESHOLD, Model, match_members
from workbench.duplicates.pairs import (
    Decision,
    Matches,
    Word,
    decide,
    decisions_frame,
    list_called_same,
    list_clusters,
)
from workbench.duplicates.plan import MergeRequest, plan_merges, read_request, spelled
from workbench.duplicates.records import SideBySide, describe_records, read_side_by_side
from workbench.errors import SchemaGap, UsageError, unknown
from workbench.murmurant.listings import write_csv
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, EVENT, MEMBER, REGISTRATION
from workbench.plans.plan import Plan
from workbench.session import Session
from workbench.statements import Statements


class Duplicates:
    """What exists more than once: ``wb.duplicates()`` lists it, and says which may be merged.

    `find` returns the same as frames, `decide` records a review decision, and `plan_merges` plans the merge.
    """

    def __init__(self, wb: Session) -> None:
        self.wb = wb
        self._compared: dict[tuple[float, str], pd.DataFrame] = {}

    @answering
    def __call__(
        self,
        entity: str | None = None,
        threshold: float = DEFAULT_THRESHOLD,
        model: Model | str | Path | None = None,
        *,
        limit: int | None = None,
        listing: Path | None = None,
        matches: Sequence[Matches] = (),
        engine: str = "duckdb",
        master: str | None = None,
    ) -> Answer:
        """List the members, events and registrations that exist more than once, and which may be merged.

        Parameters
        ----------
        entity, threshold, model, engine, master
            As for `find`; without an entity, all three.
        limit : int, optional
            The number of clusters and pairs of each entity; by default ten, and all in the JSON.
        listing : path, optional
            Where to write the sure clusters of the first entity, as the CSV that `plan_merges` reads.
        matches : sequence of Matches
            Results of `find` to show instead of comparing again.
        """
        kinds = [entity] if entity else ENTITIES
        matches = matches or [self.find(kind, threshold, model, engine, master) for kind in kinds]
        answer = duplicates_answer(self.wb, matches, threshold, limit, engine)
        if listing is not None:
            sure = matches[0].sure.explode("members").rename(columns={"members": "member", "why": "reason"})
            write_csv(listing, ["cluster", "member", "reason"], sure.to_dict("records"))
            merge = f"plan merge --from {quote(str(listing))}{entity_option(matches[0].entity)}"
            return replace(
                answer, next_steps=[Step("All that are sure at once", merge), *answer.next_steps[-1:]]
            )
        return answer

    @covering
    def find(
        self,
        entity: str = MEMBER,
        threshold: float = DEFAULT_THRESHOLD,
        model: Model | str | Path | None = None,
        engine: str = "duckdb",
        master: str | None = None,
    ) -> Matches:
        """Find one entity's duplicates: pairs, clusters, records, and what could not be compared.

        A missing table or column is no error: the result's ``not_run`` names it.

        Parameters
        ----------
        entity : {"Member", "Event", "Registration"}
            The kind of record.
        threshold : float
            The lowest probability at which two members are listed for likeness alone.
        model : Model or path, optional
            Trained parameters; by default the shipped ones.
        engine : {"duckdb", "spark"}
            Where members are compared; the pairs are the same.
        master : str, optional
            Spark's address; by default this machine.
        """
        _refuse_unknown(entity)
        schema, chances = self.wb.schema, pd.DataFrame({"left": [], "right": []})
        try:
            if entity != EVENT:
                chances = self._chances(_options(threshold, model, engine, master))
            pairs = self._pairs(entity, threshold, chances)
            with self.wb.reading() as connection:
                clusters = list_clusters(connection, schema, pairs, entity)
                records = describe_records(connection, schema, entity, {*pairs["left"], *pairs["right"]})
        except SchemaGap as gap:
            return Matches(entity, not_run=str(gap))
        notes, harmless = pairs.attrs["notes"], pairs.attrs.get("harmless", ())
        uncompared = tuple(line for line in notes if line not in harmless)
        return Matches(entity, pairs, clusters, records, tuple(notes), uncompared, chances=chances)

    def _pairs(self, entity: str, threshold: float, chances: pd.DataFrame) -> pd.DataFrame:
        schema, decisions = self.wb.schema, self._decided(entity)
        runs = [] if entity == MEMBER else self.wb.find_runs()
        if entity == REGISTRATION:
            members, events = (self._pairs(kind, threshold, chances) for kind in (MEMBER, EVENT))
        with self.wb.reading() as connection:
            if entity == MEMBER:
                return duplicate_members(connection, schema, decisions, threshold=threshold, chances=chances)
            if entity == EVENT:
                return duplicate_events(connection, schema, decisions, runs)
            return duplicate_registrations(
                connection, schema, decisions, runs, members=members, events=events
            )

    def _chances(self, options: Mapping[str, Any]) -> pd.DataFrame:
        """Compare members, and return every pair that is at least 5% probable; none where members have no names."""
        options = {**options, "threshold": min(options["threshold"], FLOOR)}
        key = options["threshold"], options["model"].model_dump_json() if options["model"] else ""
        if key not in self._compared or not self.wb.one_state:
            try:
                self._compared[key] = self._match(**options)
            except SchemaGap as gap:
                columns = ["left", "right", "probability", "offered", "why", "against"]
                nothing = pd.DataFrame(columns=columns).astype({"probability": "float64"})
                nothing.attrs["said"] = [f"Members were not compared by probability. {gap}"]
                self._compared[key] = nothing
        return self._compared[key].copy()

    def _match(self, **options: Any) -> pd.DataFrame:
        further = self.wb.options.duplicate_fields
        with self.wb.reading() as connection:
            return match_members(connection, self.wb.schema, further=further, **options)

    @answering
    def across(
        self,
        others: Sequence[str],
        entity: str | None = MEMBER,
        threshold: float = DEFAULT_THRESHOLD,
        model: Model | str | Path | None = None,
        *,
        limit: int | None = None,
        engine: str = "duckdb",
        master: str | None = None,
    ) -> Answer:
        """List who is probably a member of two clubs: of this environment and others. Such pairs are never merged.

        Parameters
        ----------
        others : sequence of str
            Environments of `workbench.toml`.
        entity : str, optional
            Only members are compared.
        limit : int, optional
            The number of pairs; by default ten, and all in the JSON.
        threshold, model, engine, master
            As for `find`.
        """
        if entity not in (None, MEMBER):
            raise UsageError("Only members are compared between clubs.", "Leave the entity out.")
        return across_answer(self.wb, others, limit, **_options(threshold, model, engine, master))

    @answering
    def train(self, out: str | Path | None = None) -> Answer:
        """Estimate the matching model from the members (guide §4.4), as `find` does by itself.

        Parameters
        ----------
        out : path, optional
            Where to write it, for the `model` of `find`.
        """
        attrs = self._match().attrs
        if out is not None:
            attrs["model"].write(out)
        return training_answer(attrs, str(out or ""))

    @covering
    def decided(self, matches: Matches) -> Matches:
        """Return earlier results of `find` with today's decisions, without comparing again."""
        return matches.decided(self._decided(matches.entity))

    @covering
    def called_same(self, entity: str = MEMBER) -> pd.DataFrame:
        """List the clusters of records that people called the same: see `workbench.duplicates.pairs.list_called_same`."""
        _refuse_unknown(entity)
        with self.wb.reading() as connection:
            return list_called_same(connection, self.wb.schema, entity, self._decided(entity))

    @covering
    def side_by_side(self, ids: Sequence[str], entity: str = MEMBER) -> SideBySide:
        """Read whole records to compare: see `workbench.duplicates.records.read_side_by_side`."""
        _refuse_unknown(entity)
        with self.wb.reading() as connection:
            return read_side_by_side(connection, self.wb.schema, entity, ids)

    def decide(
        self,
        left: str,
        right: str,
        decision: Word | str,
        *,
        remark: str = "",
        by: str | None = None,
        entity: str | None = None,
    ) -> Decision:
        """Record a review decision about two records: ``same``, ``different`` or ``unsure``.

        Nothing is written to the database: the decision is a line in a file in the reports folder.

        Parameters
        ----------
        left, right : str
            Their ids, in any order.
        remark : str
            Why, without personal data.
        by : str, optional
            Who decides; by default the operator.
        entity : {"Member", "Event", "Registration"}, optional
            What they are; by default the kind that has records with these ids.

        Raises
        ------
        UsageError
            When a record does not exist, or they are of different kinds.
        """
        (kind, left), (other_kind, right) = self._identify(left, entity), self._identify(right, entity)
        if kind != other_kind:
            problem = f"{left} is of {kind}, {right} of {other_kind}."
            raise UsageError(problem, "Name two records of one kind.")
        by = by or self.wb.settings.operator
        return self._statements.add(decide(kind, left, right, decision, by=by, remark=remark))

    @covering
    def decisions(self) -> pd.DataFrame:
        """List the review decisions about this environment's records, the latest last."""
        return decisions_frame(self._statements.read())

    def plan_merges(
        self,
        merges: str | Path | Sequence[MergeRequest],
        *,
        entity: str = MEMBER,
        rules: str | Mapping[str, str] = "canonical",
        by_hand: Mapping[str, str] | None = None,
        keep: Sequence[str] = (),
        leave_out: Sequence[str] = (),
        skip_blocked: bool = False,
    ) -> Plan:
        """Plan one merge or many as one plan (guide §4.4); writes a plan file and nothing else.

        Parameters
        ----------
        merges : path, or sequence of (canonical, duplicates) or (canonical, duplicates, reason)
            The canonical record and those that go into it; with None as canonical record the rule chooses among the
            others: most associations, then the oldest. Or a CSV file with the columns ``canonical,duplicate`` or
            ``cluster,member``, and optionally ``reason``.
        entity : {"Member", "Event", "Registration"}
            The kind of record.
        rules : str or mapping of str to str
            ``canonical``, ``newest`` or ``most-complete``, for all fields or field by field (``"*"`` for the others).
        by_hand : mapping of str to str
            Field to the record whose value it takes.
        keep : sequence of str
            Rows that stay where two would become one and no rule can tell.
        leave_out : sequence of str
            Records that are not merged.
        skip_blocked : bool
            Whether to leave out merges that no rule can decide, and list them as unresolved.
        """
        request = read_request(merges)
        refuse_across(self.wb, request)
        with self.wb.planning() as context:
            return plan_merges(context, request, entity, rules, by_hand or {}, keep, leave_out, skip_blocked)

    @property
    def _statements(self) -> Statements[Decision]:
        return Statements(Decision, self.wb.settings.reports, self.wb.environment.name)

    def _decided(self, entity: str) -> pd.DataFrame:
        """Return the decisions that hold for an entity's records."""
        decisions = decisions_frame(self._statements.read())
        return decisions[decisions["holds"] & (decisions["entity"] == entity)]

    def _identify(self, key: str, entity: str | None) -> tuple[str, str]:
        """Return the entity that has a record with this id, and the id as the database spells it."""
        schema = self.wb.schema
        with self.wb.reading() as connection:
            for kind in [entity] if entity else ENTITIES:
                _refuse_unknown(kind)
                if schema.has(CONCEPT_OF[kind]):
                    records = describe_records(connection, schema, kind, [spelled(schema, kind, key)])
                    if len(records):
                        return kind, str(records["id"].iloc[0])
        raise UsageError(
            f"There is no {entity or 'Member, Event or Registration'} {key!r} here.",
            "`workbench duplicates` shows the ids; a record that was merged is gone.",
        )


def _options(
    threshold: float, model: Model | str | Path | None, engine: str, master: str | None
) -> dict[str, Any]:
    """Return the options of `match_members`."""
    if not 0 < threshold <= 1:
        raise UsageError(
            f"The threshold {threshold} is not a probability.", "Give a number above 0, up to 1."
        )
    if master and engine != "spark":
        raise UsageError("Only Spark has a master.", "Add --engine spark.")
    chosen = Model.read(model) if isinstance(model, str | Path) else model
    return {"threshold": threshold, "model": chosen, "on": engine, "master": master}


def _refuse_unknown(entity: str) -> None:
    if entity not in ENTITIES:
        raise unknown("entity", entity, ENTITIES)
