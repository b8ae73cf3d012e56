"""What is there more than once, what people say of it, and the plan that merges it, for every surface (guide §1.4, §4.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd

from workbench.answer import Answer, Part, Step, Table, many
from workbench.checks.finding import Finding, Status
from workbench.covering import answering, covering
from workbench.duplicates.across import across_clubs, refuse_across
from workbench.duplicates.candidates import FLOOR, duplicate_members, duplicate_registrations
from workbench.duplicates.decisions import Decision, Word, decide, decisions_frame
from workbench.duplicates.events import duplicate_events
from workbench.duplicates.matching import DEFAULT_THRESHOLD, Model, match_members
from workbench.duplicates.matching.fields import SHARES, spoken
from workbench.duplicates.matching.training import ENOUGH
from workbench.duplicates.pairs import Matches, called_same, duplicate_clusters
from workbench.duplicates.plan import plan_merges
from workbench.duplicates.records import Beside, describe_records, records_beside
from workbench.duplicates.request import Wanted, read_request, spelled
from workbench.errors import SchemaGap, UsageError, unknown
from workbench.hints import aim
from workbench.murmurant.listings import write_csv
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, EVENT, MEMBER, REGISTRATION
from workbench.plans.plan import Plan
from workbench.reporting.charts import match_histogram_chart, match_waterfall_chart
from workbench.reporting.masking import mask
from workbench.session import Session
from workbench.statements import Statements

_NOUNS = {MEMBER: "members", EVENT: "events", REGISTRATION: "registrations"}
_PAIRS = ["kind", "left", "right", "probability", "why", "against", "decision", "decided_by", "remark"]
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
        matches: Sequence[Matches] = (),
        engine: str = "duckdb",
        master: str | None = None,
    ) -> Answer:
        """Tell which members, events and registrations are there more than once, and which may be merged.

        Parameters
        ----------
        entity, threshold, model, engine, master
            As for `find`; without an entity, of all three.
        limit : int, optional
            How many clusters and pairs of each entity are listed; else ten, and all for machines.
        listing : path, optional
            Where to write the sure clusters of the first entity, as the table that `plan_merges` takes.
        matches : sequence of Matches
            What was found already, instead of looking anew.
        """
        wb, steps = self.wb, [Step("As a page to read", "report duplicates")]
        parts, facts = dict[str, Part](), dict[str, Any]()
        kinds = [entity] if entity else ENTITIES
        matches = matches or [self.find(kind, threshold, model, engine, master) for kind in kinds]
        if listing is not None:
            sure = matches[0].sure.explode("members").rename(columns={"members": "member", "why": "reason"})
            write_csv(listing, ["cluster", "member", "reason"], sure.to_dict("records"))
            merge = f"plan merge --from {quote(str(listing))}{_kind(matches[0].entity)}"
            steps.insert(0, Step("All that are sure at once", merge))
        elif mergeable := [duplicates for duplicates in matches if len(duplicates.sure)]:
            sentence = f"All {len(mergeable[0].sure):,} sure clusters at once"
            steps.insert(0, Step(sentence, f"duplicates --entity {mergeable[0].entity.lower()} --to FILE"))
        for duplicates in matches:
            parts |= _parts(duplicates, limit or 10, threshold)
            facts[_NOUNS[duplicates.entity]] = _facts(duplicates, limit, wb.shows_people, wb.environment.name)
        clean = all(duplicates.clean for duplicates in matches)
        return Answer(
            "Nothing is there more than once." if clean else "",
            parts,
            [probable_finding(duplicates) for duplicates in matches if duplicates.entity == MEMBER],
            next_steps=steps,
            facts={"environment": vars(wb.environment), "dialect": wb.dialect, "engine": engine, **facts},
            sample=0,
            code=int(not clean),
        )

    @covering
    def find(
        self,
        entity: str = MEMBER,
        threshold: float = DEFAULT_THRESHOLD,
        model: Model | str | Path | None = None,
        engine: str = "duckdb",
        master: str | None = None,
    ) -> Matches:
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
        engine : {"duckdb", "spark"}
            Where members are compared; the pairs are the same.
        master : str, optional
            Spark's address; else this machine.
        """
        _refuse_unknown(entity)
        schema, chances = self.wb.schema, pd.DataFrame({"left": [], "right": []})
        try:
            if entity != EVENT:
                chances = self.chances(threshold, model, engine, master)
            pairs = self._pairs(entity, threshold, chances)
            with self.wb.reading() as connection:
                clusters = duplicate_clusters(connection, schema, pairs, entity)
                records = describe_records(connection, schema, entity, {*pairs["left"], *pairs["right"]})
        except SchemaGap as gap:
            return Matches(entity, not_run=str(gap))
        notes = pairs.attrs["said"]
        uncompared = [line for line in notes if line not in pairs.attrs.get("noted", ())]
        return Matches(entity, pairs, clusters, records, tuple(notes), tuple(uncompared), chances=chances)

    def _pairs(self, entity: str, threshold: float, chances: pd.DataFrame) -> pd.DataFrame:
        """List the pairs of an entity; of registrations, counting duplicates of members and events as one."""
        schema, decisions = self.wb.schema, self._decided(entity)
        runs = [] if entity == MEMBER else self.wb.find_runs()
        kinds = (MEMBER, EVENT) if entity == REGISTRATION else ()
        owners = {_NOUNS[kind]: self._pairs(kind, threshold, chances) for kind in kinds}
        with self.wb.reading() as connection:
            if entity == REGISTRATION:
                return duplicate_registrations(connection, schema, decisions, runs, **owners)
            if entity == EVENT:
                return duplicate_events(connection, schema, decisions, runs)
            return duplicate_members(connection, schema, decisions, threshold=threshold, chances=chances)

    def chances(
        self,
        threshold: float = DEFAULT_THRESHOLD,
        model: Model | str | Path | None = None,
        engine: str = "duckdb",
        master: str | None = None,
    ) -> pd.DataFrame:
        """Compare members: every pair that is at least 5% probable, with its evidence in bits.

        See `workbench.duplicates.matching.match_members`; where members have no names nothing can be compared, and
        ``attrs["said"]`` says so. `UsageError` for a threshold that is no probability.
        """
        options = _options(threshold, model, engine, master)
        options["threshold"] = min(threshold, FLOOR)
        key = options["threshold"], options["model"].model_dump_json() if options["model"] else ""
        if key not in self._compared or not self.wb.one_state:
            try:
                self._compared[key] = self._match(**options)
            except SchemaGap as gap:
                columns = ["left", "right", "probability", "offered", "why", "against"]
                nothing = pd.DataFrame(columns=columns).astype({"probability": "float64"})
                nothing.attrs["said"] = [f"Nobody was compared by probability. {gap}"]
                self._compared[key] = nothing
        return self._compared[key].copy()

    def _match(self, **options: Any) -> pd.DataFrame:
        with self.wb.reading() as connection:
            further = self.wb.options.duplicate_fields
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
        """Tell who is probably a member of two clubs: of this environment and of others; to look at, never to merge.

        Parameters
        ----------
        others : sequence of str
            Environments of `workbench.toml`.
        entity : str, optional
            Members alone are compared.
        limit : int, optional
            How many pairs are told; else ten, and all for machines.
        threshold, model, engine, master
            As for `find`.
        """
        if entity not in (None, MEMBER):
            raise UsageError("Between clubs members are compared, and nothing else.", "Leave the entity out.")
        return across_clubs(self.wb, others, limit, **_options(threshold, model, engine, master))

    @answering
    def train(self, out: str | Path | None = None) -> Answer:
        """Estimate the model of matching from the members (guide §4.4), as `find` does by itself.

        Parameters
        ----------
        out : path, optional
            Where to write it, as `find` takes it.
        """
        results = self._match().attrs
        model, members, pairs, notes = (results[name] for name in ("model", "members", "pairs", "said"))
        prior = {"shipped": Model.shipped().duplicates_each, "here": model.duplicates_each}
        if out is not None:
            model.write(out)
        shares = pd.DataFrame(results["shares"], columns=SHARES)
        shares["comparison"] = shares["comparison"].map(spoken)
        shares.attrs["harmless"] = SHARES
        shown = shares.assign(**{name: shares[name].map("{:.3g}".format) for name in SHARES[2:]})
        source = "is estimated from them"
        if members < ENOUGH:
            source = f"is as shipped: it takes {ENOUGH:,} members or more to estimate it"
        lines = [
            f"{members:,} members and {pairs:,} pairs were compared. How one person's records differ (m) {source}; how"
            " often strangers agree (u) is counted.",
            f"Further records of a member, on average: {prior['shipped']} as shipped, {prior['here']} here.",
            *(f"! {line}" for line in notes),
        ]
        use = [] if out is None else [Step(f"Written to {out}", f"duplicates --model {quote(str(out))}")]
        facts = {"members": members, "pairs": pairs, "estimated": members >= ENOUGH, "said": notes}
        table = Table(shown, "Shares that are not as shipped", "All shares are as shipped.")
        facts |= {"shares": shares, "prior": prior}
        return Answer("\n".join(lines), {"shares": table}, facts=facts, next_steps=use)

    @covering
    def decided(self, matches: Matches) -> Matches:
        """Return what was found before with what is said of the pairs now; nothing is compared anew."""
        return matches.decided(self._decided(matches.entity))

    @covering
    def called_same(self, entity: str = MEMBER) -> pd.DataFrame:
        """Gather the records that people called the same: see `workbench.duplicates.pairs.called_same`."""
        _refuse_unknown(entity)
        with self.wb.reading() as connection:
            return called_same(connection, self.wb.schema, entity, self._decided(entity))

    @covering
    def beside(self, ids: Sequence[str], entity: str = MEMBER) -> Beside:
        """Lay whole records side by side: see `workbench.duplicates.records.records_beside`."""
        _refuse_unknown(entity)
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
        (kind, left), (other_kind, right) = self._known(left, entity), self._known(right, entity)
        if kind != other_kind:
            problem = f"{left} is of {kind}, {right} of {other_kind}: two kinds of record are never one."
            raise UsageError(problem, "Name two records of one kind.")
        by = by or self.wb.settings.operator
        return self._statements.add(decide(kind, left, right, decision, by=by, remark=remark))

    @covering
    def decisions(self) -> pd.DataFrame:
        """List what was decided about this environment's records, the latest last."""
        return decisions_frame(self._statements.read())

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
        request, hands = read_request(merges), by_hand or {}
        refuse_across(self.wb, request)
        with self.wb.planning() as context:
            return plan_merges(context, request, entity, rules, hands, keep, leave_out, skip_blocked)

    @property
    def _statements(self) -> Statements[Decision]:
        return Statements(Decision, self.wb.settings.reports, self.wb.environment.name)

    def _decided(self, entity: str) -> pd.DataFrame:
        """Return the decisions that hold for an entity's records."""
        decisions = decisions_frame(self._statements.read())
        return decisions[decisions["holds"] & (decisions["entity"] == entity)]

    def _known(self, key: str, entity: str | None) -> tuple[str, str]:
        """Return the entity that has a record of this id, and the id as the database spells it."""
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
    """Return how members are compared, as `match_members` takes it."""
    if not 0 < threshold <= 1:
        problem = f"The threshold {threshold} is not a probability."
        raise UsageError(problem, "Give a number above 0, up to 1.")
    if master and engine != "spark":
        raise UsageError("Only Spark has a master.", "Add --engine spark.")
    chosen = Model.read(model) if isinstance(model, str | Path) else model
    return {"threshold": threshold, "model": chosen, "on": engine, "master": master}


def _refuse_unknown(entity: str) -> None:
    if entity not in ENTITIES:
        raise unknown("entity", entity, ENTITIES)


def probable_finding(duplicates: Matches) -> Finding:
    """Return the answer to whether members are probably one person, as one finding among the others.

    What was left uncompared may hide another pair: then nothing found is no pass.
    """
    rows = duplicates.open[duplicates.open["kind"] == "probable"]
    reason = duplicates.not_run or "; ".join(duplicates.uncompared)
    status: Status = "warn" if len(rows) else "not run" if reason else "pass"
    keys = rows["left"].astype(str) + " " + rows["right"].astype(str)
    return Finding(
        "members-probably-one",
        "Members who are probably one person, though no address says so",
        status,
        None if status == "not run" else len(rows),
        rows.assign(key=keys)[["key", "probability", "why", "against"]].reset_index(drop=True),
        reason,
        guide="§1.4",
        question="Is there nobody who appears twice, under another name, address or number?",
        remedy="Look at each pair, say whether it is one person (`workbench duplicates --decide LEFT RIGHT WORD`), and merge what is (§4.4).",
        severity="warn",
        risk="high",
    )


def pair_to_look_at(chances: pd.DataFrame, threshold: float) -> pd.Series[Any] | None:
    """Return the pair that most needs a person's eye: the least probable of those that are listed."""
    listed = chances[chances["probability"] >= threshold]
    return listed.iloc[-1] if len(listed) else None


def _parts(duplicates: Matches, limit: int, threshold: float) -> dict[str, Part]:
    nouns, clusters, loose = _NOUNS[duplicates.entity], duplicates.clusters, duplicates.loose
    shown, more = clusters.head(limit), f"; more: --limit {max(len(clusters), len(loose))}"
    pairs = loose.head(limit)[_PAIRS].astype({"probability": "object"})
    pairs["probability"] = [_percent(chance) for chance in pairs["probability"]]
    say = "Say which: `workbench duplicates --decide LEFT RIGHT WORD`; WORD is same, different or unsure."
    cut = f"{limit} of {len(loose):,} pairs of {nouns}{more}. " if len(loose) > limit else ""
    lines = ["", f"{nouns.capitalize()}: {_counted(duplicates)}", *(f"! {line}" for line in duplicates.notes)]
    reasons = [_judged(duplicates.entity, cluster) for cluster in shown.to_dict("records")]
    parts: dict[str, Part] = {
        f"{nouns}_summary": "\n".join(lines),
        nouns: Table(
            duplicates_table(duplicates, shown), f"{nouns.capitalize()} of the clusters", "",
            ("cluster", "stays", "record_id"),
            note=f"{limit} of {len(clusters):,} clusters of {nouns}{more}" if len(clusters) > limit else "",
        ),
        f"{nouns}_why": {f"{number} of {len(clusters):,}": reason for number, reason in enumerate(reasons, 1)},
        f"{nouns}_pairs": Table(
            pairs, f"Pairs of {nouns} that something brings together, and not enough joins: one, or two?", "",
            ("left", "right", "why"), note=f"{cut}{say}" if len(loose) else "",
        ),
    }  # fmt: skip
    if duplicates.entity == MEMBER and not duplicates.not_run:
        doubtful = pair_to_look_at(duplicates.chances, threshold)
        parts["chances"] = partial(match_histogram_chart, duplicates.chances, threshold)
        parts["why"] = partial(match_waterfall_chart, doubtful)
    return parts


def duplicates_table(duplicates: Matches, clusters: pd.DataFrame | None = None) -> pd.DataFrame:
    """Lay the records of each cluster side by side, the one that stays first.

    Returns
    -------
    pandas.DataFrame
        ``cluster`` (its number), ``stays``, the entity's own columns, ``associations`` and ``record_id``.
    """
    listed = duplicates.clusters if clusters is None else clusters
    rows = [
        (number, "" if place else "stays", cluster["associations"][key], key)
        for number, cluster in enumerate(listed.to_dict("records"), 1)
        for place, key in enumerate(
            sorted(cluster["members"], key=lambda key: (key != cluster["canonical"], key))
        )
    ]
    table = pd.DataFrame(rows, columns=["cluster", "stays", "associations", "record_id"])
    # A column called status would be shown as a finding's.
    known = duplicates.records.rename(columns={"id": "record_id", "status": "registration_status"})
    columns = ["cluster", "stays", *known.columns.drop("record_id"), "associations", "record_id"]
    return table.merge(known, on="record_id", how="left")[columns]


def _counted(duplicates: Matches) -> str:
    if duplicates.not_run:
        return f"not run. {duplicates.not_run}"
    sure, loose, different = len(duplicates.sure), len(duplicates.loose), duplicates.different
    rest = len(duplicates.clusters) - sure
    counts = [
        f"{many(sure, 'cluster')} sure enough to merge" if sure else "",
        f"{many(rest, 'cluster')} to look at first" if rest else "",
        f"{many(loose, 'pair')} in no cluster" if loose else "",
        f"{many(different, 'pair')} left out, called different" if different else "",
    ]
    if duplicates.open.empty:
        counts.insert(0, "none found" if duplicates.clean else "none found, and not everything was compared")
    return ", ".join(filter(None, counts)) + "."


def _judged(entity: str, cluster: Mapping[Any, Any]) -> str:
    """Say how sure a cluster is, what speaks for and against it, and what to do about it."""
    share, by = _percent(cluster["probability"]), cluster["decided_by"]
    judged = "sure enough to merge" if cluster["offered"] else "look at it first"
    decided = {"same": f"called the same by {by}", "unsure": f"{by} was not sure"}
    words = ", ".join(filter(None, (share and f"{share} probable", decided.get(cluster["decision"], judged))))
    against = f" Against it: {cluster['against']}." if cluster["against"] else ""
    return f"{words}. For it: {cluster['why']}.{against} {' '.join(_next(entity, cluster))}"


def _next(entity: str, cluster: Mapping[Any, Any]) -> list[str]:
    """Return what to do about a cluster: the command that plans the merge, or what comes before it."""
    if before := sorted(_BEFORE[kind] for kind in cluster["kind"].split(", ") if kind in _BEFORE):
        return [f"Merge the {' and '.join(before)} records first; that plan settles these by rule."]
    gone = [key for key in cluster["members"] if key != cluster["canonical"]]
    ids = " ".join(quote(str(key)) for key in (cluster["canonical"], *gone))
    merge = f"`workbench plan merge {ids}{_kind(entity)}`"
    if cluster["offered"] or cluster["decision"] == "same":
        return [merge]
    left, right = (quote(str(key)) for key in cluster["members"][:2])
    return [f"If they are one: {merge}", f"If not: `workbench duplicates --decide {left} {right} different`"]


def _kind(entity: str) -> str:
    return "" if entity == MEMBER else f" --entity {entity.lower()}"


def _percent(chance: float) -> str:
    """Say a probability that is known; what is not certain never reads as if it were."""
    return "" if chance != chance else "more than 99.9%" if 0.999 < chance < 1 else f"{chance:.1%}"


def _facts(duplicates: Matches, limit: int | None, unmask: bool, environment: str) -> dict[str, Any]:
    counts = {"pairs": duplicates.open, "clusters": duplicates.clusters, "offered": duplicates.sure}
    return {
        "status": "not run" if duplicates.not_run else "pass" if duplicates.clean else "fail",
        "reason": duplicates.not_run,
        "said": list(duplicates.notes),
        "counts": {**{name: len(rows) for name, rows in counts.items()}, "different": duplicates.different},
        "clusters": [
            {
                **row,
                "next": [aim(line, environment).replace("`", "") for line in _next(duplicates.entity, row)],
            }
            for row in duplicates.clusters.head(limit or len(duplicates.clusters)).to_dict("records")
        ],
        "pairs": mask(duplicates.pairs.head(limit or len(duplicates.pairs)), unmask),
        "records": mask(duplicates.records, unmask),
    }
