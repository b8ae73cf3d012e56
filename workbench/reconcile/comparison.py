"""Is everybody here? Wild Apricot's own exports beside the database, record by record.

It needs no trace of any run: a row of the export is led to its record by the mapping, by what else is left of its
import, or as a last resort by what it says. What nothing was said about is not compared, and said to be so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from workbench.errors import UsageError
from workbench.murmurant.exports import Export
from workbench.murmurant.reports import ImportReport
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, EVENT, MEMBER, REGISTRATION
from workbench.reconcile import fields, matching, queries
from workbench.reconcile.matching import keyed, look_up, tidy
from workbench.settings import ReconcileSettings

_LOST = ["entity", "wa_id", "name", "title", "reason", "next"]
_HERE = ["entity", "wa_id", "record_id", "name", "title", "reason", "next"]
_TABLES = {
    "missing": _LOST,
    "left_out": _LOST,
    "extra": _HERE,
    "differs": [*_HERE[:5], "field", "export", "here", "newer", "next"],
    "unmapped": _HERE,
}
_CONFIGURED = ("import_options", "registration_status_mapping")
_MOMENTS = {"joined", "start", "end"}


@dataclass(frozen=True)
class Reconciliation:
    """What an export and the database have in common, and what not.

    Attributes
    ----------
    why : tuple of str
        What stands against going on; empty: go.
    counts : pandas.DataFrame
        By ``entity``: how many are in the ``export`` and ``here``, ``found`` in both, ``missing`` here, ``left_out``
        by the importer's design, here and not there (``extra``), how many ``differs``, how many are found without a
        mapping (``unmapped``); missing where the entity was not compared.
    missing, left_out, extra, differs, unmapped : pandas.DataFrame
        The records themselves: ``entity``, ``wa_id``, ``name`` or ``title``, the ``reason``, and as ``next`` the
        command that leads to a correction, where there is one. `differs` has a row for each ``field``, with what the
        ``export`` and what is ``here``, and which is ``newer``, where that is known.
    shifts : tuple of Shift
        Time zones too many.
    not_compared : tuple of str
        What could not be compared, and why.
    notes : tuple of str
        What else whoever reads this should know.
    """

    why: tuple[str, ...]
    counts: pd.DataFrame
    missing: pd.DataFrame
    left_out: pd.DataFrame
    extra: pd.DataFrame
    differs: pd.DataFrame
    unmapped: pd.DataFrame
    shifts: tuple[fields.Shift, ...]
    not_compared: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def go(self) -> bool:
        """Whether nothing stands against going on."""
        return not self.why


def compare(
    connection: Connection,
    schema: Schema,
    exports: Sequence[Export],
    *,
    reports: Iterable[ImportReport] = (),
    accepted: ReconcileSettings | None = None,
    configuration: Mapping[str, Any] | None = None,
    on: str = "",
) -> Reconciliation:
    """Compare exports with the database.

    Parameters
    ----------
    reports : iterable of ImportReport
        Import reports and id maps, which lead to records that no mapping leads to.
    accepted : ReconcileSettings, optional
        How much may be missing, differ or be here only; in which time zone the export's times are.
    configuration : mapping, optional
        The importer's: order of dates, names of registrations' statuses.
    on : str
        The option that names the environment, for the commands that are proposed.

    Raises
    ------
    UsageError
        Where no export is given.
    """
    if not exports:
        raise UsageError(
            "No export is given.", "Name Wild Apricot's export files, or their folder: --export FOLDER."
        )
    listed = {each.entity for each in exports}
    asked = set(ENTITIES) if REGISTRATION in listed else listed
    known, notes = queries.known_ids(connection, schema, reports, sorted(asked))
    again = f"workbench {'plan sync-state' if schema.has('sync_state') else 'triage'}{on}"
    options, statuses = ((configuration or {}).get(each) for each in _CONFIGURED)
    form = str(options.get("date_format", "")).upper() if isinstance(options, Mapping) else ""
    order: fields.Order = "day" if form.startswith("D") else "month" if form.startswith("M") else ""
    codes = {str(name): str(code) for name, code in statuses.items()} if isinstance(statuses, Mapping) else {}
    work = _Comparison(known, accepted or ReconcileSettings(), order, codes, on, again, notes)
    for entity in ENTITIES:
        rows = [each.rows for each in exports if each.entity == entity]
        work.compare(entity, rows, queries.records(connection, schema, entity) if rows else None)
    return work.made()


def _series() -> pd.Series:
    return pd.Series(dtype=object)


def _by_wa_id() -> dict[str, pd.Series]:
    return {MEMBER: _series(), EVENT: _series()}


@dataclass
class _Comparison:
    """One comparison under way: members and events first, since registrations are theirs."""

    known: pd.DataFrame
    accepted: ReconcileSettings
    order: fields.Order
    statuses: dict[str, str]
    on: str
    again: str
    notes: list[str]
    not_compared: list[str] = field(default_factory=list)
    shifts: list[fields.Shift] = field(default_factory=list)
    counts: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, list[pd.DataFrame]] = field(default_factory=lambda: {name: [] for name in _TABLES})
    # Of members and events, by WA id: the record, the name, why there is none, which plan leads to the right one.
    leads: dict[str, pd.Series] = field(default_factory=_by_wa_id)
    names: dict[str, pd.Series] = field(default_factory=_by_wa_id)
    reasons: dict[str, pd.Series] = field(default_factory=_by_wa_id)
    corrections: pd.Series = field(default_factory=_series)
    by_design: set[str] = field(default_factory=set)

    def compare(self, entity: str, parts: Sequence[pd.DataFrame], here: pd.DataFrame | None) -> None:
        things, known = CONCEPT_OF[entity], self.known[self.known["entity"] == entity]
        if not parts or here is None:
            why = "no export lists them" if not parts else "their table is not here, or may not be read"
            self.not_compared.append(f"{things}: not compared, since {why}.")
            self.counts.append({"entity": entity})
            self.leads[entity] = keyed(known, "wa_id")["record_id"]
            return
        rows = self._listed_once(things, pd.concat(parts, ignore_index=True))
        found = self._led(entity, rows, here, known)
        at = here.set_index("record_id").reindex(found["record_id"]).set_axis(found.index).add_suffix("_here")
        found = _named(pd.concat([found, at], axis=1), entity, self.names)
        lost, led = found[found["record_id"].isna()], found[found["record_id"].notna()]
        whole = pd.DataFrame({"wrong": False, "should_be": None, "shared": False}, index=led.index)
        led = led.join(matching.somebody_else(led, here, known) if entity == MEMBER else whole)
        mapped = known[(known["by"] == queries.BY_MAPPING) & known["record_id"].isin(here["record_id"])]
        several = mapped[~mapped.duplicated() & mapped["wa_id"].duplicated()]["wa_id"].nunique()
        self._note(things, several, f"ids are mapped to more than one record: workbench mappings{self.on}")
        loose = led[led["found_by"] != queries.BY_MAPPING]
        reason, plan = "found by " + loose["found_by"], "workbench plan mapping --rebuild"
        step = pd.Series(plan + self.on, index=loose.index)
        step = step.mask(loose["found_by"] == queries.BY_REPORT, f"{plan} --csv-records{self.on}")
        self._say_lost(entity, lost)
        if entity != REGISTRATION:
            right = led["should_be"].fillna(led["record_id"]).set_axis(led["wa_id"])
            others = keyed(known[~known["wa_id"].isin(found["wa_id"])], "wa_id")["record_id"]
            self.leads[entity] = pd.concat([right, others])
        self._say_differing(entity, led)
        self._say_extra(entity, here, led, known)
        self._tell("unmapped", entity, loose, reason=reason, next=step)
        self.counts.append({"entity": entity, "export": len(rows), "here": len(here), "found": len(led)})

    def made(self) -> Reconciliation:
        counts = pd.DataFrame(self.counts, columns=["entity", "export", "here", "found", *_TABLES])
        tables = {}
        for name, parts in self.tables.items():
            table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_TABLES[name])
            tables[name] = table.astype(object).where(table.notna(), None)
            rows = table.drop_duplicates(["entity", "wa_id"]) if name == "differs" else table
            each = rows["entity"].value_counts()
            counts[name] = counts["entity"].map(each).fillna(0).where(counts["export"].notna())
        counts = counts.astype(dict.fromkeys(counts.columns[1:], "Int64"))
        return Reconciliation(
            why=(*self._above(counts), *(each.in_words(CONCEPT_OF[each.entity]) for each in self.shifts)),
            counts=counts,
            **tables,
            shifts=tuple(self.shifts),
            not_compared=tuple(self.not_compared),
            notes=tuple(self.notes),
        )

    def _above(self, counts: pd.DataFrame) -> list[str]:
        """Say what exceeds its limit; an export without members cannot tell whether everybody is here."""
        limits, only = (
            self.accepted,
            "are here and not in the export: it lists a part of the club, or they are here twice",
        )
        why = []
        for row in counts[counts["export"].notna()].to_dict("records"):
            for name, limit, of, words in (
                ("missing", limits.missing_at_most, row["export"], "are missing here"),
                ("differs", limits.differs_at_most, row["export"], "differ"),
                ("extra", limits.extra_at_most, row["here"], only),
            ):
                if row[name] > (float(limit[:-1]) / 100 * of if limit.endswith("%") else float(limit)):
                    things = f"{row[name]:,} of {of:,} {CONCEPT_OF[row['entity']]} ({row[name] / of:.1%})"
                    why.append(f"{things} {words}; accepted are {limit}.")
        if counts["export"].isna()[0]:
            why.append("Members were not compared: nothing tells whether everybody is here.")
        return why

    def _listed_once(self, things: str, rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.fillna("")  # one file of an entity may have a column that another has not
        named = rows[rows["wa_id"] != ""].drop_duplicates()
        self._note(
            things, int((rows["wa_id"] == "").sum()), "rows of the export without an id were left aside."
        )
        contrary = int(named["wa_id"].duplicated().sum())
        self._note(things, contrary, "rows of the export contradict another of the same id; the last counts.")
        return named.drop_duplicates("wa_id", keep="last").reset_index(drop=True).astype(object)

    def _led(self, entity: str, rows: pd.DataFrame, here: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
        found = matching.lead(rows, here, known)
        if entity == MEMBER:
            return matching.lead_by_email(found, here)
        if entity == EVENT:
            start = fields.read_moments(found["start"], self.order, self.accepted.time_zone)["moment"]
            found = found.assign(start_moment=start)
            return matching.lead_by_title(found, here) if {"title", "start"} <= set(here) else found
        found["member"] = look_up(found["contact"], self.leads[MEMBER])
        found["at"] = look_up(found["event"], self.leads[EVENT])
        return matching.lead_by_place(found, here)

    def _say_lost(self, entity: str, lost: pd.DataFrame) -> None:
        design = matching.left_out(lost, entity).mask(lost["gone"], "")
        reason = design.mask(design == "", matching.UNTRACED).mask(lost["gone"], matching.GONE)
        aside = design != ""
        if entity == REGISTRATION:
            for name, of, led in (("event", EVENT, "at"), ("contact", MEMBER, "member")):
                why = look_up(lost[name], self.reasons[of])
                why = why.mask(why.isna() & lost[led].isna(), "in no export, and not here")
                reason = reason.mask(why.notna(), f"its {name} " + lost[name] + ": " + why)
                aside |= why.isin(self.by_design)
        else:
            self.reasons[entity] = reason.set_axis(lost["wa_id"])
            self.by_design |= set(reason[aside])
        step = self._look(lost).where(lost["gone"], f"workbench triage{self.on}")
        self._tell("missing", entity, lost[~aside], reason=reason, next=step)
        self._tell("left_out", entity, lost[aside], reason=reason, next=None)

    def _say_extra(self, entity: str, here: pd.DataFrame, led: pd.DataFrame, known: pd.DataFrame) -> None:
        extra = here[~here["record_id"].isin([*led["record_id"], *led["should_be"].dropna()])]
        ids = keyed(known, "record_id").reindex(extra["record_id"]).set_axis(extra.index)
        extra = _named(extra.assign(wa_id=ids["wa_id"]), entity, {})
        reason = pd.Series("its Wild Apricot id is not in the export", index=extra.index)
        reason = reason.where(ids["wa_id"].notna(), "nothing ties it to Wild Apricot")
        reason = reason.mask(
            ids["wa_id"].isin(led["wa_id"]), "here twice: its Wild Apricot id leads to another record"
        )
        duplicates = f"workbench duplicates --entity {entity.lower()}{self.on}"
        step = self._look(ids).where(ids["by"] == queries.BY_MAPPING, duplicates)
        self._tell("extra", entity, extra, reason=reason, next=step)

    def _say_differing(self, entity: str, rows: pd.DataFrame) -> None:
        things = CONCEPT_OF[entity]
        if entity == REGISTRATION and {"member_id_here", "event_id_here"} <= set(rows):
            self._say_misplaced(rows)
        wrong = rows[rows["wrong"]]
        half = wrong["should_be"].isin(wrong["record_id"])
        swap = pd.Series("", index=wrong.index).mask(half, " --whole-cycle")
        plan = self._plan(entity, wrong, "should_be") + swap
        self.corrections = plan.set_axis(wrong["wa_id"]) if entity == MEMBER else self.corrections
        plan = (plan + self.on).fillna(self._look(wrong))
        values = {"export": wrong["name"], "here": _full_name(wrong, "_here"), "newer": None, "next": plan}
        self._tell("differs", entity, wrong, field="person", **values)
        rows = rows[~rows["wrong"] & ~rows["shared"]]
        later = pd.Series(None, index=rows.index, dtype=object)
        if {"updated", "updated_at_here"} <= set(rows):
            later = fields.newer(rows, fields.read_moments(rows["updated"], self.order, None))
        changed = f"workbench snapshot diff latest{self.on}"
        step = pd.Series(self.again, index=rows.index).mask(later == fields.NEWER_HERE, changed)
        differing, read = {}, {}
        for name in fields.FIELDS[entity]:
            if not {name, f"{name}_here"} <= set(rows):
                which = "the export" if name not in rows else "the database"
                self.not_compared.append(f"{things}: {name}, since {which} has no such column.")
            elif name in _MOMENTS:
                zone = None if name == "joined" else self.accepted.time_zone
                read[name] = fields.read_moments(rows[name], self.order, zone, rows[f"{name}_here"])
                self._not(f"{things}: {name}", read[name]["unread"], rows, "cannot be read as a date")
            else:
                differing[name], comparable = fields.compare_texts(rows, entity, name, self.statuses)
                unknown = ~comparable & (rows[name] != "")
                self._not(f"{things}: {name}", unknown, rows, "has no counterpart here")
        moved, shifts = fields.compare_moments(rows, entity, read)
        self.shifts += shifts
        for name, differs in {**differing, **moved}.items():
            values = {"export": rows[name], "here": rows[f"{name}_here"], "newer": later}
            lead_on = pd.Series(f"workbench tiers{self.on}", index=rows.index) if name == "level" else step
            self._tell("differs", entity, rows[differs], field=name, next=lead_on, **values)

    def _say_misplaced(self, rows: pd.DataFrame) -> None:
        through = look_up(rows["contact"], self.corrections) + " --move-records"
        step = through.fillna(self._plan(REGISTRATION, rows, "right")) + self.on
        step = step.fillna(f"workbench check registrations-wrong-event{self.on}")
        for name, there, column in (("member", "contact", "member"), ("event", "event", "at")):
            self._not(f"registrations: {name}", rows[column].isna(), rows, "is not here")
            differs = rows[column].notna() & (rows[column] != rows[f"{name}_id_here"])
            values = {"export": rows[there], "here": rows[f"{name}_id_here"], "newer": None, "next": step}
            self._tell("differs", REGISTRATION, rows[differs], field=name, **values)

    def _tell(self, table: str, entity: str, rows: pd.DataFrame, **columns: Any) -> None:
        """List some rows in a table; of a column what belongs to them counts."""
        if len(rows):
            self.tables[table].append(rows.assign(entity=entity, **columns)[_TABLES[table]])

    def _note(self, things: str, count: int, words: str) -> None:
        self.notes += [f"{things}: {count:,} {words}"] if count else []

    def _not(self, what: str, which: pd.Series, rows: pd.DataFrame, why: str) -> None:
        count = int(which.sum())
        self.not_compared += [f"{what} of {count:,} of {len(rows):,}, which {why}."] if count else []

    def _plan(self, entity: str, rows: pd.DataFrame, to: str) -> pd.Series:
        return f"workbench plan mapping {entity} " + _pasted(rows["wa_id"]) + " " + _pasted(rows[to])

    def _look(self, rows: pd.DataFrame) -> pd.Series:
        return "workbench mappings --wa-id " + _pasted(rows["wa_id"]) + self.on


def _pasted(ids: pd.Series) -> pd.Series:
    """Return ids as they stand in a command: an export's cell is data, whatever it holds."""
    return ids.map(lambda each: quote(" ".join(each.split())), na_action="ignore").astype(object)


def _named(rows: pd.DataFrame, entity: str, known: dict[str, pd.Series]) -> pd.DataFrame:
    """Give rows the ``name`` or ``title`` by which people know them; a registration its contact's and its event's."""
    nothing = pd.Series("", index=rows.index, dtype=object)
    if entity == REGISTRATION and known:
        name = look_up(rows["contact"], known[MEMBER]).fillna(_full_name(rows))
        return rows.assign(name=name, title=look_up(rows["event"], known[EVENT]).fillna(""))
    title = tidy(rows["title"]) if "title" in rows else nothing
    if known:
        known[entity] = (_full_name(rows) if entity == MEMBER else title).set_axis(rows["wa_id"])
    return rows.assign(name=_full_name(rows), title=title)


def _full_name(rows: pd.DataFrame, suffix: str = "") -> pd.Series:
    names = pd.Series("", index=rows.index, dtype=object)
    for each in ("first_name", "last_name"):
        names = names + " " + tidy(rows[f"{each}{suffix}"]) if f"{each}{suffix}" in rows else names
    return tidy(names)
