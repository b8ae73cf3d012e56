"""What is there more than once, what people say of it, and the plan that merges it, for every surface (guide §1.4, §4.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd
from sqlalchemy import UUID, select

from workbench.answer import Answer, Part, Step, Table, many
from workbench.covering import answering, covering
from workbench.duplicates import decisions
from workbench.duplicates.decisions import Decision, Pair, Word
from workbench.duplicates.events import duplicate_events
from workbench.duplicates.matching import DEFAULT_THRESHOLD, Model
from workbench.duplicates.members import FLOOR, duplicate_members, left_uncompared, match_chances
from workbench.duplicates.pairs import Found, called_same, duplicate_clusters
from workbench.duplicates.plan import plan_merges
from workbench.duplicates.probable import pair_to_look_at, probable_finding
from workbench.duplicates.records import Beside, describe_records, records_beside
from workbench.duplicates.registrations import split_registrations
from workbench.duplicates.request import Wanted, requested
from workbench.errors import SchemaGap, UsageError, unknown
from workbench.hints import aim
from workbench.murmurant.listings import write_csv
from workbench.murmurant.schema import as_text
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, EVENT, MEMBER, REGISTRATION
from workbench.plans.plan import Plan
from workbench.reporting.charts import cluster_sizes_chart, match_histogram_chart, match_waterfall_chart
from workbench.reporting.masking import mask
from workbench.session import Session
from workbench.statements import Statements

NOUNS = {MEMBER: "members", EVENT: "events", REGISTRATION: "registrations"}
_OWN = {"status": "registration_status"}  # a column called status would be shown as a finding's
_PAIRS = ("kind", "left", "right", "probability", "why", "against", "decision", "decided_by", "remark")
_BEFORE = {"split_member": "member", "split_event": "event", "split_both": "member and event"}


class Duplicates:
    """What is there more than once: ``wb.duplicates()`` lists it, and says which may be merged.

    `Duplicates.find` gives the same as frames, `Duplicates.decide` keeps what somebody says of two records, and
    `Duplicates.plan_merges` plans to merge them.
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
        found: Sequence[Found] = (),
    ) -> Answer:
        """Tell which members, events and registrations are there more than once, and which may be merged.

        Parameters
        ----------
        entity, threshold, model
            As for `find`; without an entity, of all three.
        limit : int, optional
            How many clusters and pairs of each entity are told; else ten, and all for machines.
        listing : path, optional
            Where to write the sure clusters of the first entity, as the table that `plan_merges` takes.
        found : sequence of Found
            What was found already, instead of looking anew.
        """
        found = found or [self.find(one, threshold, model) for one in ([entity] if entity else ENTITIES)]
        facts = {"environment": vars(self.wb.environment), "dialect": self.wb.dialect}
        return duplicates_answer(
            found, threshold, facts=facts, unmask=self.wb.shows_people, limit=limit, listing=listing
        )

    @covering
    def find(
        self,
        entity: str = MEMBER,
        threshold: float = DEFAULT_THRESHOLD,
        model: Model | str | Path | None = None,
    ) -> Found:
        """Find one entity's duplicates: pairs, clusters, records, and what could not be told.

        A table or column that is missing is no error here: the result says that it was not run, and why.

        Parameters
        ----------
        entity : {"Member", "Event", "Registration"}
            Of what.
        threshold : float
            The least probability of two members whom nothing but their likeness brought together.
        model : Model or path, optional
            Trained parameters; else those shipped.
        """
        if entity not in ENTITIES:
            raise unknown("entity", entity, ENTITIES)
        schema = self.wb.schema
        try:
            chances = self.chances(threshold, model) if entity != EVENT else pd.DataFrame()
            pairs = self._pairs(entity, threshold, chances)
            with self.wb.reading() as connection:
                clusters = duplicate_clusters(connection, schema, pairs, entity)
                records = describe_records(connection, schema, entity, {*pairs["left"], *pairs["right"]})
        except SchemaGap as gap:
            return Found(entity, not_run=str(gap))
        said = list(pairs.attrs.get("said", []))
        uncompared = left_uncompared(schema, said) if entity == MEMBER else said
        found = Found(entity, pairs, clusters, records, tuple(said), tuple(uncompared))
        return replace(found, chances=chances) if entity == MEMBER else found

    def _pairs(self, entity: str, threshold: float, chances: pd.DataFrame) -> pd.DataFrame:
        """List the pairs of an entity; of registrations, counting duplicates of members and events as one."""
        schema, known = self.wb.schema, self._standing(entity)
        if entity == MEMBER:
            with self.wb.reading() as connection:
                return duplicate_members(
                    connection, schema, threshold=threshold, chances=chances, decisions=known
                )
        runs = self.wb.find_runs()
        if entity == EVENT:
            with self.wb.reading() as connection:
                return duplicate_events(connection, schema, decisions=known, runs=runs)
        members, events = (self._pairs(each, threshold, chances) for each in (MEMBER, EVENT))
        with self.wb.reading() as connection:
            return split_registrations(
                connection, schema, members=members, events=events, decisions=known, runs=runs
            )

    def chances(
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
        if key not in self._compared or not self.wb.one_state:
            with self.wb.reading() as connection:
                self._compared[key] = match_chances(
                    connection, self.wb.schema, threshold=threshold, model=chosen
                )
        return self._compared[key].copy()

    @covering
    def decided(self, found: Found) -> Found:
        """Return what was found before with what is said of the pairs now; nothing is compared anew."""
        return found.decided(self._standing(found.entity))

    @covering
    def called_same(self, entity: str = MEMBER) -> pd.DataFrame:
        """Gather the records that people called the same: see `workbench.duplicates.pairs.called_same`."""
        if entity not in ENTITIES:
            raise unknown("entity", entity, ENTITIES)
        with self.wb.reading() as connection:
            return called_same(connection, self.wb.schema, entity, self._standing(entity))

    @covering
    def beside(self, ids: Sequence[str], entity: str = MEMBER) -> Beside:
        """Lay whole records side by side: see `workbench.duplicates.records.records_beside`."""
        if entity not in ENTITIES:
            raise unknown("entity", entity, ENTITIES)
        with self.wb.reading() as connection:
            return records_beside(connection, self.wb.schema, entity, ids)

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
        (kind, one), (other_kind, other) = self._known(left, entity), self._known(right, entity)
        if kind != other_kind:
            raise UsageError(
                f"{left} is of {kind}, {right} of {other_kind}: two kinds of record are never one.",
                "Name two records of one kind.",
            )
        by = by or self.wb.settings.operator
        return self._decisions.add(decisions.decide(kind, one, other, decision, by=by, remark=remark))

    @covering
    def decisions(self) -> pd.DataFrame:
        """List what was decided about this environment's records, the latest last."""
        return decisions.decisions_frame(self._decisions.read())

    def plan_merges(
        self,
        merges: str | Path | Sequence[Wanted],
        *,
        entity: str = MEMBER,
        rules: str | Mapping[str, str] = "canonical",
        by_hand: Mapping[str, str] | None = None,
        keep: Sequence[str] = (),
        leave_out: Sequence[str] = (),
        skip_blocked: bool = False,
    ) -> Plan:
        """Plan merges, one or many, as one plan (guide §4.4); writes a plan file and nothing else.

        Parameters
        ----------
        merges : path, or sequence of (canonical, duplicates) or (canonical, duplicates, reason)
            The record that stays and those that go into it; a canonical record of None leaves the choice among the
            others to the rule: most associations, then the oldest. Or a CSV file with the columns
            ``canonical,duplicate`` or ``cluster,member``, and perhaps ``reason``.
        entity : {"Member", "Event", "Registration"}
            What they are.
        rules : str or mapping of str to str
            ``canonical``, ``newest`` or ``most-complete``, for all fields or field by field (``"*"`` for the others).
        by_hand : mapping of str to str
            Field to the record whose value it is to have.
        keep : sequence of str
            Rows that stay where two would become one and no rule can tell.
        leave_out : sequence of str
            Records that are not merged.
        skip_blocked : bool
            Whether to leave out merges that no rule can decide, and list them as unresolved.
        """
        request = requested(merges)
        with self.wb.planning() as context:
            return plan_merges(
                context,
                request,
                entity=entity,
                rules=rules,
                by_hand=by_hand,
                keep=keep,
                leave_out=leave_out,
                skip_blocked=skip_blocked,
            )

    @property
    def _decisions(self) -> Statements[Decision]:
        return Statements(Decision, self.wb.settings.reports, self.wb.environment.name)

    def _standing(self, entity: str) -> dict[Pair, Decision]:
        return decisions.standing(self._decisions.read(), entity)

    def _known(self, key: str, entity: str | None) -> tuple[str, str]:
        """Return the entity that has a record of this id, and the id as the database spells it."""
        schema = self.wb.schema
        with self.wb.reading() as connection:
            for each in [entity] if entity else ENTITIES:
                if each not in ENTITIES:
                    raise unknown("entity", each, ENTITIES)
                if not schema.has(CONCEPT_OF[each]):
                    continue
                column = schema.entity(each).c.id
                spelled = key.strip().lower() if isinstance(column.type, UUID) else key.strip()
                found = connection.scalar(select(as_text(column)).where(as_text(column) == spelled))
                if found is not None:
                    return each, str(found)
        raise UsageError(
            f"There is no {entity or 'Member, Event or Registration'} {key!r} here.",
            "`workbench duplicates` shows the ids; a record that was merged is gone.",
        )


def duplicates_answer(
    found: Sequence[Found],
    threshold: float,
    *,
    facts: Mapping[str, Any],
    unmask: bool,
    limit: int | None = None,
    listing: Path | None = None,
) -> Answer:
    """Answer with what is there more than once, and with the command that merges each cluster."""
    environment = facts["environment"]["name"]
    if listing is not None:
        _write_listing(listing, found[0])
    parts: dict[str, Part] = {}
    for one in found:
        parts |= _parts(one, limit or 10) | (_drawn(one, threshold) if one.entity == MEMBER else {})
    clean, sure = all(one.clean for one in found), next((one for one in found if len(one.sure)), None)
    steps = []
    if listing is not None:
        steps = [
            Step("All that are sure at once", f"plan merge --from {quote(str(listing))}{_kind(found[0])}")
        ]
    elif sure is not None:
        words = f"All {len(sure.sure):,} sure ones at once"
        steps = [Step(words, f"duplicates --entity {sure.entity.lower()} --to FILE")]
    return Answer(
        "Nothing is there more than once." if clean else "",
        parts,
        [probable_finding(one) for one in found if one.entity == MEMBER],
        next_steps=[*steps, Step("As a page to read", "report duplicates")],
        facts={**facts, **{NOUNS[one.entity]: _facts(one, limit, unmask, environment) for one in found}},
        sample=0,
        code=int(not clean),
    )


def _drawn(found: Found, threshold: float) -> dict[str, Part]:
    """Draw how probable it all is, why the pair that most needs a look may be one, and how large the clusters are."""
    if found.not_run:
        return {}
    return {
        "chances": partial(match_histogram_chart, found.chances, threshold),
        "why": partial(match_waterfall_chart, pair_to_look_at(found.chances, threshold)),
        "sizes": partial(cluster_sizes_chart, found.clusters),
    }


def _parts(found: Found, limit: int) -> dict[str, Part]:
    nouns, clusters, loose = NOUNS[found.entity], found.clusters, found.loose
    shown = clusters.head(limit)
    of_all = f"{limit} of {len(clusters):,} clusters of {nouns}; more: --limit {len(clusters)}"
    more = (
        f"{limit} of {len(loose):,} pairs of {nouns}; more: --limit {len(loose)}. "
        if len(loose) > limit
        else ""
    )
    title = f"Pairs of {nouns} that something brings together, and not enough joins: one, or two?"
    pairs = loose.head(limit)[list(_PAIRS)]
    pairs["probability"] = [
        "" if chance != chance else _percent(chance) for chance in pairs["probability"].tolist()
    ]
    say = f"{more}Say which: `workbench duplicates --decide LEFT RIGHT WORD`, where WORD is same, different or unsure."
    return {
        f"{nouns}_summary": "\n".join(("", f"{nouns.capitalize()}: {_counted(found)}", *(f"! {line}" for line in found.said))),
        nouns: Table(
            duplicates_table(found, shown), f"{nouns.capitalize()} of the clusters", "",
            ("cluster", "stays", "record_id"), note=of_all if len(clusters) > limit else "",
        ),
        f"{nouns}_why": {
            f"{place} of {len(clusters):,}": _told(found, cluster)
            for place, cluster in enumerate(shown.to_dict("records"), 1)
        },
        f"{nouns}_pairs": Table(pairs, title, "", ("left", "right", "why"), note=say if len(loose) else ""),
    }  # fmt: skip


def duplicates_table(found: Found, clusters: pd.DataFrame | None = None) -> pd.DataFrame:
    """Lay the records of each cluster side by side, the one that stays first.

    Returns
    -------
    pandas.DataFrame
        ``cluster`` (its number), ``stays``, the entity's own columns, ``associations`` and ``record_id``.
    """
    known = {row["id"]: row for row in found.records.to_dict("records")}
    own = {name: _OWN.get(str(name), str(name)) for name in found.records.columns if name != "id"}
    rows = [
        {
            "cluster": number,
            "stays": "stays" if key == cluster["canonical"] else "",
            **{shown: known.get(key, {}).get(name) for name, shown in own.items()},
            "associations": cluster["associations"].get(key),
            "record_id": key,
        }
        for number, cluster in enumerate(
            (found.clusters if clusters is None else clusters).to_dict("records"), 1
        )
        for key in sorted(cluster["members"], key=lambda key: (key != cluster["canonical"], key))
    ]
    return pd.DataFrame(rows, columns=["cluster", "stays", *own.values(), "associations", "record_id"])


def _counted(found: Found) -> str:
    if found.not_run:
        return f"not run. {found.not_run}"
    rest = len(found.clusters) - len(found.sure)
    told = [
        f"{many(len(found.sure), 'cluster')} sure enough to merge" if len(found.sure) else "",
        f"{many(rest, 'cluster')} to look at first" if rest else "",
        f"{many(len(found.loose), 'pair')} in no cluster" if len(found.loose) else "",
        f"{many(found.different, 'pair')} left out, called different" if found.different else "",
    ]
    if found.open.empty:
        told = ["none found" if found.clean else "none found, and not everything was compared", *told]
    return ", ".join(filter(None, told)) + "."


def _told(found: Found, cluster: Mapping[Any, Any]) -> str:
    """Say how sure a cluster is, what speaks for and against it, and what to do about it."""
    chance = cluster["probability"]
    words = [f"{_percent(chance)} probable"] if chance is not None and chance == chance else []
    mine = found.pairs["cluster"].eq(cluster["cluster"]) & found.pairs["decision"].ne("")
    by = ", ".join(sorted({who for who in found.pairs.loc[mine, "decided_by"] if who}))
    judged = "sure enough to merge" if cluster["offered"] else "look at it first"
    said = {"same": f"called the same by {by}", "unsure": f"{by} was not sure"}.get(
        cluster["decision"], judged
    )
    against = f" Against it: {cluster['against']}." if cluster["against"] else ""
    return (
        f"{', '.join([*words, said])}. For it: {cluster['why']}.{against} {' '.join(_next(found, cluster))}"
    )


def _next(found: Found, cluster: Mapping[Any, Any]) -> list[str]:
    """Return what to do about a cluster: the command that plans the merge, or what comes before it."""
    if found.entity == REGISTRATION:
        kinds = found.pairs.loc[found.pairs["cluster"] == cluster["cluster"], "kind"]
        if before := sorted({_BEFORE[kind] for kind in kinds if kind in _BEFORE}):
            return [f"Merge the {' and '.join(before)} records first; that plan settles these by rule."]
    gone = [key for key in cluster["members"] if key != cluster["canonical"]]
    ids = " ".join(quote(str(key)) for key in (cluster["canonical"], *gone))
    merge = f"`workbench plan merge {ids}{_kind(found)}`"
    if cluster["offered"] or cluster["decision"] == "same":
        return [merge]
    left, right = (quote(str(key)) for key in cluster["members"][:2])
    return [f"If they are one: {merge}", f"If not: `workbench duplicates --decide {left} {right} different`"]


def _kind(found: Found) -> str:
    return "" if found.entity == MEMBER else f" --entity {found.entity.lower()}"


def _percent(chance: float) -> str:
    """Say a probability; what is not certain never reads as if it were."""
    return "more than 99.9%" if 0.999 < chance < 1 else f"{chance:.1%}"


def _write_listing(path: Path, found: Found) -> None:
    """Write the sure clusters in the form that ``plan merge --from`` reads: ids, and why."""
    rows = (
        {"cluster": cluster["cluster"], "member": key, "reason": cluster["why"]}
        for cluster in found.sure.to_dict("records")
        for key in cluster["members"]
    )
    write_csv(path, ["cluster", "member", "reason"], rows)


def _facts(found: Found, limit: int | None, unmask: bool, environment: str) -> dict[str, Any]:
    clusters = found.clusters.head(limit) if limit else found.clusters
    return {
        "status": "not run" if found.not_run else "pass" if found.clean else "fail",
        "reason": found.not_run,
        "said": list(found.said),
        "counts": {
            "pairs": len(found.open),
            "clusters": len(found.clusters),
            "offered": len(found.sure),
            "different": found.different,
        },
        "clusters": [
            {**row, "next": [aim(line, environment).replace("`", "") for line in _next(found, row)]}
            for row in clusters.to_dict("records")
        ],
        "pairs": mask(found.pairs.head(limit) if limit else found.pairs, unmask),
        "records": mask(found.records, unmask),
    }
