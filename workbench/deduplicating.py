"""What is there more than once in an environment, and what people decided about it (guide §1.4, §4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from sqlalchemy import UUID, select

from workbench.answer import Answer
from workbench.covering import answering, covering
from workbench.duplicates import decisions
from workbench.duplicates.decisions import Decision, Pair, Word
from workbench.duplicates.events import duplicate_events
from workbench.duplicates.matching import DEFAULT_THRESHOLD, Model
from workbench.duplicates.members import FLOOR, duplicate_members, left_uncompared, match_chances
from workbench.duplicates.pairs import Found, called_same, duplicate_clusters
from workbench.duplicates.questions import duplicates_answer
from workbench.duplicates.records import Beside, describe_records, records_beside
from workbench.duplicates.registrations import split_registrations
from workbench.errors import SchemaGap, UsageError, unknown
from workbench.murmurant.schema import as_text
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, EVENT, MEMBER, REGISTRATION
from workbench.session import Session
from workbench.statements import Statements


class Duplicates(Session):
    """The questions about duplicates, and the file of review decisions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._chances: dict[tuple[float, str], pd.DataFrame] = {}

    def match_chances(
        self, threshold: float = DEFAULT_THRESHOLD, model: Model | str | Path | None = None
    ) -> pd.DataFrame:
        """Compare members: every pair that is at least 5% probable, with its evidence in bits.

        See `workbench.duplicates.matching.match_members`; `UsageError` for a threshold that is no probability.
        """
        if not 0 < threshold <= 1:
            raise UsageError(
                f"The threshold {threshold} is not a probability.", "Give a number above 0, up to 1."
            )
        chosen = Model.read(model) if isinstance(model, str | Path) else model or Model.shipped()
        key = min(threshold, FLOOR), chosen.model_dump_json()
        if key not in self._chances or not self.one_state:
            with self.reading() as connection:
                self._chances[key] = match_chances(connection, self.schema, threshold=threshold, model=chosen)
        return self._chances[key].copy()

    @covering
    def duplicate_members(
        self, threshold: float = DEFAULT_THRESHOLD, model: Model | str | Path | None = None
    ) -> pd.DataFrame:
        """List the pairs of members who may be one person (guide §1.4).

        Parameters
        ----------
        threshold : float
            The least probability of a pair that nothing but its likeness brought together.
        model : Model or path, optional
            Trained parameters; else those shipped.

        Returns
        -------
        pandas.DataFrame
            See `workbench.duplicates.duplicate_members`.
        """
        return self._members(threshold, self.match_chances(threshold, model))

    def _members(self, threshold: float, chances: pd.DataFrame) -> pd.DataFrame:
        with self.reading() as connection:
            return duplicate_members(
                connection,
                self.schema,
                threshold=threshold,
                chances=chances,
                decisions=self._standing(MEMBER),
            )

    @covering
    def duplicate_events(self) -> pd.DataFrame:
        """List the pairs of events that may be one: see `workbench.duplicates.duplicate_events`."""
        runs = self.find_runs()
        with self.reading() as connection:
            return duplicate_events(connection, self.schema, decisions=self._standing(EVENT), runs=runs)

    @covering
    def split_registrations(
        self, threshold: float = DEFAULT_THRESHOLD, model: Model | str | Path | None = None
    ) -> pd.DataFrame:
        """List the pairs of registrations that are one, counting duplicates of members and events as one."""
        members, events = self.duplicate_members(threshold, model), self.duplicate_events()
        runs = self.find_runs()
        with self.reading() as connection:
            return split_registrations(
                connection,
                self.schema,
                members=members,
                events=events,
                decisions=self._standing(REGISTRATION),
                runs=runs,
            )

    @answering
    def duplicates(
        self,
        entity: str | None = None,
        threshold: float = DEFAULT_THRESHOLD,
        model: Model | str | Path | None = None,
        *,
        limit: int | None = None,
        listing: Path | None = None,
        found: Sequence[Found] = (),
    ) -> Answer:
        """Tell which members, events and registrations are there more than once, and which may be merged.

        Parameters
        ----------
        limit, listing
            As for `workbench.duplicates.questions.duplicates_answer`.
        found : sequence of Found
            What was found already, instead of looking anew.
        """
        entities = [entity] if entity else ENTITIES
        found = found or [self.find_duplicates(one, threshold, model) for one in entities]
        facts = {"environment": vars(self.environment), "dialect": self.dialect}
        return duplicates_answer(found, facts=facts, unmask=self.shows_people, limit=limit, listing=listing)

    @covering
    def find_duplicates(
        self,
        entity: str = MEMBER,
        threshold: float = DEFAULT_THRESHOLD,
        model: Model | str | Path | None = None,
    ) -> Found:
        """Find one entity's duplicates: pairs, clusters, records, and what could not be told.

        A table or column that is missing is no error here: the result says that it was not run, and why.
        """
        chances = None
        try:
            if entity == MEMBER:
                chances = self.match_chances(threshold, model)
                pairs = self._members(threshold, chances)
            elif entity == EVENT:
                pairs = self.duplicate_events()
            elif entity == REGISTRATION:
                pairs = self.split_registrations(threshold, model)
            else:
                raise unknown("entity", entity, ENTITIES)
            with self.reading() as connection:
                clusters = duplicate_clusters(connection, self.schema, pairs, entity)
                ids = {*pairs["left"], *pairs["right"]}
                records = describe_records(connection, self.schema, entity, ids)
        except SchemaGap as gap:
            return Found(entity, not_run=str(gap))
        said = list(pairs.attrs.get("said", []))
        uncompared = left_uncompared(self.schema, said) if entity == MEMBER else said
        found = Found(entity, pairs, clusters, records, tuple(said), tuple(uncompared))
        return found if chances is None else replace(found, chances=chances)

    @covering
    def decided(self, found: Found) -> Found:
        """Return what was found before with what is said of the pairs now; nothing is compared anew."""
        return found.decided(self._standing(found.entity))

    @covering
    def called_same(self, entity: str = MEMBER) -> pd.DataFrame:
        """Gather the records that people called the same: see `workbench.duplicates.called_same`."""
        if entity not in ENTITIES:
            raise unknown("entity", entity, ENTITIES)
        with self.reading() as connection:
            return called_same(connection, self.schema, entity, self._standing(entity))

    @covering
    def beside(self, ids: Sequence[str], entity: str = MEMBER) -> Beside:
        """Lay whole records side by side: see `workbench.duplicates.records_beside`."""
        if entity not in ENTITIES:
            raise unknown("entity", entity, ENTITIES)
        with self.reading() as connection:
            return records_beside(connection, self.schema, entity, ids)

    @covering
    def duplicate_clusters(self, pairs: pd.DataFrame, entity: str = MEMBER) -> pd.DataFrame:
        """Gather pairs into clusters, with the record that would stay: see `duplicates.duplicate_clusters`."""
        with self.reading() as connection:
            return duplicate_clusters(connection, self.schema, pairs, entity)

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
        """Keep what somebody says of two records: ``same``, ``different`` or ``unsure``.

        Nothing is written to the database: it is a line in a file beside the reports.

        Parameters
        ----------
        left, right : str
            Their ids, in any order.
        remark : str
            Why, without personal data.
        by : str, optional
            Who says so; else the operator.
        entity : {"Member", "Event", "Registration"}, optional
            What they are; else what has records with these ids.

        Raises
        ------
        UsageError
            When a record is not there, or they are of different entities.
        """
        one, other = self._known(left, entity), self._known(right, entity)
        if one[0] != other[0]:
            raise UsageError(
                f"{left} is of {one[0]}, {right} of {other[0]}: two kinds of record are never one.",
                "Name two records of one kind.",
            )
        made = decisions.decide(
            one[0], one[1], other[1], decision, by=by or self.settings.operator, remark=remark
        )
        return self._decisions.add(made)

    @covering
    def decisions(self) -> pd.DataFrame:
        """List what was decided about this environment's records, the latest last."""
        return decisions.decisions_frame(self._decisions.read())

    @property
    def _decisions(self) -> Statements[Decision]:
        return Statements(Decision, self.settings.reports, self.environment.name)

    def _standing(self, entity: str) -> dict[Pair, Decision]:
        return decisions.standing(self._decisions.read(), entity)

    def _known(self, key: str, entity: str | None) -> tuple[str, str]:
        """Return the entity that has a record of this id, and the id as the database spells it."""
        with self.reading() as connection:
            for each in [entity] if entity else ENTITIES:
                if each not in ENTITIES:
                    raise unknown("entity", each, ENTITIES)
                if not self.schema.has(CONCEPT_OF[each]):
                    continue
                column = self.schema.entity(each).c.id
                spelled = key.strip().lower() if isinstance(column.type, UUID) else key.strip()
                found = connection.scalar(select(as_text(column)).where(as_text(column) == spelled))
                if found is not None:
                    return each, str(found)
        raise UsageError(
            f"There is no {entity or 'Member, Event or Registration'} {key!r} here.",
            "`workbench duplicates` shows the ids; a record that was merged is gone.",
        )
