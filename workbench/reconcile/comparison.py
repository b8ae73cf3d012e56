"""Is everybody here? Wild Apricot's own exports beside the database, record by record.

It needs no trace of any run: a row of the export is led to its record by the mapping, by what else is left of its
import, or as a last resort by what it says. What nothing was said about is not compared, and said to be so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from shlex import quote
from typing import Any

import pandas as pd

from workbench.errors import DocumentError, UsageError
from workbench.hints import on_environment
from workbench.murmurant.exports import Export
from workbench.murmurant.reports import ImportReport
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, EVENT, MEMBER, REGISTRATION
from workbench.reconcile import fields, matching, queries
from workbench.reconcile.matching import keyed, look_up, tidy
from workbench.session import Session
from workbench.settings import ReconcileSettings

_LOST = ["entity", "wa_id", "name", "title", "reason", "next"]
_HERE = ["entity", "wa_id", "record_id", "name", "title", "reason", "next"]
TABLES = {
    "missing": _LOST,
    "left_out": _LOST,
    "extra": _HERE,
    "differs": [*_HERE[:5], "field", "export", "here", "newer", "next"],
    "unmapped": _HERE,
}
"""What may be the matter with a record, and the columns that tell it."""

_LIMITS = {
    "missing": ("missing_at_most", "export", "are missing here"),
    "differs": ("differs_at_most", "export", "differ"),
    "extra": (
        "extra_at_most",
        "here",
        "are here and not in the export: it lists a part of the club, or they are here twice",
    ),
}
"""How much of what is accepted, of how many, in words."""

_SIDE = ["record_id", "name", "title", "reason", "aside", "plan"]


class Comparison:
    """One comparison of exports with the database: members and events first, since registrations are theirs.

    Parameters
    ----------
    accepted : ReconcileSettings
        How much may be missing, differ or be here only; in which time zone the export's times are.

    Attributes
    ----------
    tables : dict of str to DataFrame
        The records themselves, by what is the matter: ``entity``, ``wa_id``, ``name`` or ``title``, the ``reason``, and
        as ``next`` the command that leads to a correction, where there is one. ``differs`` has a row for each
        ``field``, with what the ``export`` and what is ``here``, and which is ``newer``, where that is known.
    counts : DataFrame
        By ``entity``: how many are in the ``export`` and ``here``, ``found`` in both, and how many records each of
        `tables` has; missing where the entity was not compared.
    shifts : list of Shift
        Time zones too many.
    why : list of str
        What stands against going on; empty: go.
    not_compared, notes : list of str
        What could not be compared, and why; what else whoever reads this should know.

    Raises
    ------
    UsageError
        Where no export is given.
    """

    def __init__(self, wb: Session, exports: Sequence[Export], accepted: ReconcileSettings) -> None:
        if not exports:
            raise UsageError(
                "No export is given.", "Name Wild Apricot's export files, or their folder: --export FOLDER."
            )
        reports: Sequence[ImportReport] = ()
        with suppress(DocumentError):  # they help to find a record, and are not needed for it
            reports = wb.reports
        self.accepted, self._on = accepted, on_environment(wb.environment.name)
        self._again = f"workbench {'plan sync-state' if wb.schema.has('sync_state') else 'triage'}{self._on}"
        configuration: Mapping[str, Any] = wb.import_configuration
        options, statuses = (
            value if isinstance(value := configuration.get(name), Mapping) else {}
            for name in ("import_options", "registration_status_mapping")
        )
        form = str(options.get("date_format", "")).upper()
        self._order: fields.Order = "day" if form.startswith("D") else "month" if form.startswith("M") else ""
        self._statuses = statuses
        self.not_compared: list[str] = []
        self.shifts: list[fields.Shift] = []
        self._rows: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
        self._sides: dict[str, pd.DataFrame] = {}  # by WA id: the right record, or why there is none
        counts = []
        with wb.reading() as connection:
            self.known, self.notes = queries.known_ids(connection, wb.schema, reports)
            for entity in ENTITIES:
                parts = [export.rows for export in exports if export.entity == entity]
                records = queries.records(connection, wb.schema, entity) if parts else None
                counts.append({"entity": entity, **self._compare(entity, parts, records)})
        self.counts = pd.DataFrame(counts, columns=["entity", "export", "here", "found"])
        self.tables = {}
        for name, rows in self._rows.items():
            table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=TABLES[name])
            self.tables[name] = table.astype(object).where(table.notna(), None)
            entities = table.drop_duplicates(["entity", "wa_id"] if name == "differs" else None)["entity"]
            number = self.counts["entity"].map(entities.value_counts()).fillna(0)
            self.counts[name] = number.where(self.counts["export"].notna())
        self.counts = self.counts.astype(dict.fromkeys(self.counts.columns[1:], "Int64"))
        self.why = [*self._exceeded(), *(shift.in_words(CONCEPT_OF[shift.entity]) for shift in self.shifts)]

    def _compare(
        self, entity: str, parts: Sequence[pd.DataFrame], records: pd.DataFrame | None
    ) -> dict[str, int]:
        things, known = CONCEPT_OF[entity], self.known[self.known["entity"] == entity]
        if not parts or records is None:
            why = "no export lists them" if not parts else "their table is not here, or may not be read"
            self.not_compared.append(f"{things}: not compared, since {why}.")
            self._sides[entity] = keyed(known, "wa_id").reindex(columns=_SIDE)
            return {}
        rows = self._listed_once(things, pd.concat(parts, ignore_index=True))
        pairs = self._lead(entity, rows, records, known)
        pairs = pairs.join(records.set_index("record_id").add_suffix("_here"), on="record_id")
        pairs = _named(pairs, entity, self._sides)
        mapped = known[(known["by"] == queries.BY_MAPPING) & known["record_id"].isin(records["record_id"])]
        several = mapped[~mapped.duplicated() & mapped["wa_id"].duplicated()]["wa_id"].nunique()
        self._note(things, several, f"ids are mapped to more than one record: workbench mappings{self._on}")
        lost = self._lose(entity, pairs[pairs["record_id"].isna()])
        led = self._differ(entity, pairs[pairs["record_id"].notna()], records, known)
        self._list_extra(entity, records, led, known)
        loose = led[led["found_by"] != queries.BY_MAPPING]
        csv = (loose["found_by"] == queries.BY_REPORT).map({True: " --csv-records", False: ""}).astype(object)
        step = "workbench plan mapping --rebuild" + csv + self._on
        self._list("unmapped", entity, loose, reason="found by " + loose["found_by"], next=step)
        right = led.assign(record_id=led["should_be"].fillna(led["record_id"]))
        side = pd.concat([right, lost, known[~known["wa_id"].isin(pairs["wa_id"])]])
        self._sides[entity] = keyed(side, "wa_id").reindex(columns=_SIDE)
        return {"export": len(rows), "here": len(records), "found": len(led)}

    def _listed_once(self, things: str, rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.fillna("")  # one file of an entity may have a column that another has not
        self._note(
            things, int(rows["wa_id"].eq("").sum()), "rows of the export without an id were left aside."
        )
        named = rows[rows["wa_id"] != ""].drop_duplicates()
        contrary = int(named["wa_id"].duplicated().sum())
        self._note(things, contrary, "rows of the export contradict another of the same id; the last counts.")
        return named.drop_duplicates("wa_id", keep="last").reset_index(drop=True).astype(object)

    def _lead(
        self, entity: str, rows: pd.DataFrame, records: pd.DataFrame, known: pd.DataFrame
    ) -> pd.DataFrame:
        pairs = matching.lead(rows, records, known)
        if entity == MEMBER:
            return matching.lead_by_email(pairs, records)
        if entity == EVENT:
            start = fields.read_moments(pairs["start"], self._order, self.accepted.time_zone)["moment"]
            return matching.lead_by_title(pairs.assign(start_moment=start), records)
        pairs["member"] = look_up(pairs["contact"], self._sides[MEMBER]["record_id"])
        pairs["at"] = look_up(pairs["event"], self._sides[EVENT]["record_id"])
        return matching.lead_by_place(pairs, records)

    def _lose(self, entity: str, lost: pd.DataFrame) -> pd.DataFrame:
        """List what has no record here, with the ``reason``; ``aside`` where the importer passes it over by design."""
        design = matching.left_out(lost, entity).mask(lost["gone"], "")
        aside = design != ""
        reason = design.where(aside, matching.UNTRACED).mask(lost["gone"], matching.GONE)
        parents = (("event", EVENT, "at"), ("contact", MEMBER, "member")) if entity == REGISTRATION else ()
        for name, parent, led in parents:
            why = look_up(lost[name], self._sides[parent]["reason"])
            why = why.mask(why.isna() & lost[led].isna(), "in no export, and not here")
            reason = reason.mask(why.notna(), f"its {name} " + lost[name].astype(object) + ": " + why)
            aside |= look_up(lost[name], self._sides[parent]["aside"]).eq(True)
        step = self._look(lost).where(lost["gone"], f"workbench triage{self._on}")
        self._list("missing", entity, lost[~aside], reason=reason, next=step)
        self._list("left_out", entity, lost[aside], reason=reason, next=None)
        return lost.assign(reason=reason, aside=aside)

    def _differ(
        self, entity: str, led: pd.DataFrame, records: pd.DataFrame, known: pd.DataFrame
    ) -> pd.DataFrame:
        """List what differs; add ``should_be``, the right record, and ``plan``, the command that leads there."""
        if entity == MEMBER:
            led = led.join(matching.somebody_else(led, records, known))
        else:
            led = led.assign(wrong=False, should_be=None, shared=False)
        wrong = led[led["wrong"]]
        half = wrong["should_be"].isin(wrong["record_id"]).map({True: " --whole-cycle", False: ""})
        plan = self._plan(entity, wrong, "should_be") + half.astype(object)
        values = {"export": wrong["name"], "here": _full_name(wrong, "_here"), "newer": None}
        step = (plan + self._on).fillna(self._look(wrong))
        self._list("differs", entity, wrong, field="person", **values, next=step)
        if entity == REGISTRATION and {"member_id_here", "event_id_here"} <= set(led):
            self._list_misplaced(led)
        self._list_fields(entity, led[~led["wrong"] & ~led["shared"]])
        return led.assign(plan=plan)

    def _list_misplaced(self, rows: pd.DataFrame) -> None:
        through = look_up(rows["contact"], self._sides[MEMBER]["plan"]) + " --move-records"
        step = through.fillna(self._plan(REGISTRATION, rows, "right")) + self._on
        step = step.fillna(f"workbench check registrations-wrong-event{self._on}")
        for name, listed, column in (("member", "contact", "member"), ("event", "event", "at")):
            self._leave("registrations", name, rows[column].isna(), "is not here")
            differs = rows[column].notna() & (rows[column] != rows[f"{name}_id_here"])
            values = {"export": rows[listed], "here": rows[f"{name}_id_here"], "newer": None}
            self._list("differs", REGISTRATION, rows[differs], field=name, **values, next=step)

    def _list_fields(self, entity: str, rows: pd.DataFrame) -> None:
        things = CONCEPT_OF[entity]
        newer = pd.Series(None, index=rows.index, dtype=object)
        if {"updated", "updated_at_here"} <= set(rows):
            newer = fields.newer(rows, fields.read_moments(rows["updated"], self._order, None))
        step = pd.Series(self._again, index=rows.index)
        step = step.mask(newer == fields.NEWER_HERE, f"workbench snapshot diff latest{self._on}")
        differing, read = dict[str, pd.Series](), dict[str, pd.DataFrame]()
        for name in fields.FIELDS[entity]:
            if not {name, f"{name}_here"} <= set(rows):
                which = "the export" if name not in rows else "the database"
                self.not_compared.append(f"{things}: {name}, since {which} has no such column.")
            elif name in fields.MOMENTS:
                zone = None if name == "joined" else self.accepted.time_zone
                read[name] = fields.read_moments(rows[name], self._order, zone, rows[f"{name}_here"])
                self._leave(things, name, read[name]["unread"], "cannot be read as a date")
            else:
                differing[name], comparable = fields.compare_texts(rows, entity, name, self._statuses)
                self._leave(things, name, ~comparable & (rows[name] != ""), "has no counterpart here")
        moved, shifts = fields.compare_moments(rows, entity, read)
        self.shifts += shifts
        for name, differs in {**differing, **moved}.items():
            lead_on = f"workbench tiers{self._on}" if name == "level" else step
            values = {"export": rows[name], "here": rows[f"{name}_here"], "newer": newer}
            self._list("differs", entity, rows[differs], field=name, **values, next=lead_on)

    def _list_extra(self, entity: str, records: pd.DataFrame, led: pd.DataFrame, known: pd.DataFrame) -> None:
        extra = records[~records["record_id"].isin([*led["record_id"], *led["should_be"].dropna()])]
        ids = keyed(known, "record_id").reindex(extra["record_id"]).set_axis(extra.index)
        extra = _named(extra.assign(wa_id=ids["wa_id"]), entity, {})
        reason = pd.Series("its Wild Apricot id is not in the export", index=extra.index)
        reason = reason.where(ids["wa_id"].notna(), "nothing ties it to Wild Apricot")
        twice = ids["wa_id"].isin(led["wa_id"])
        reason = reason.mask(twice, "here twice: its Wild Apricot id leads to another record")
        duplicates = f"workbench duplicates --entity {entity.lower()}{self._on}"
        step = self._look(ids).where(ids["by"] == queries.BY_MAPPING, duplicates)
        self._list("extra", entity, extra, reason=reason, next=step)

    def _exceeded(self) -> list[str]:
        """Say what exceeds its limit; an export without members cannot tell whether everybody is here."""
        why = []
        for row in self.counts[self.counts["export"].notna()].to_dict("records"):
            for name, (setting, of, words) in _LIMITS.items():
                count, total, limit = row[name], row[of], getattr(self.accepted, setting)
                most = float(limit[:-1]) / 100 * total if limit.endswith("%") else float(limit)
                if count > most:
                    things = f"{count:,} of {total:,} {CONCEPT_OF[row['entity']]} ({count / total:.1%})"
                    why.append(f"{things} {words}; accepted are {limit}.")
        if self.counts["export"].isna()[0]:
            why.append("Members were not compared: nothing tells whether everybody is here.")
        return why

    def _list(self, kind: str, entity: str, rows: pd.DataFrame, **columns: Any) -> None:
        """List some rows in a table; of a column what belongs to them counts."""
        if len(rows):
            self._rows[kind].append(rows.assign(entity=entity, **columns)[TABLES[kind]])

    def _note(self, things: str, count: int, words: str) -> None:
        self.notes += [f"{things}: {count:,} {words}"] if count else []

    def _leave(self, things: str, field: str, which: pd.Series, why: str) -> None:
        """Note of how many rows a field is not compared."""
        count = int(which.sum())
        self.not_compared += (
            [f"{things}: {field} of {count:,} of {len(which):,}, which {why}."] if count else []
        )

    def _plan(self, entity: str, rows: pd.DataFrame, to: str) -> pd.Series:
        return f"workbench plan mapping {entity} " + _pasted(rows["wa_id"]) + " " + _pasted(rows[to])

    def _look(self, rows: pd.DataFrame) -> pd.Series:
        return "workbench mappings --wa-id " + _pasted(rows["wa_id"]) + self._on


def _pasted(ids: pd.Series) -> pd.Series:
    """Return ids as they stand in a command: an export's cell is data, whatever it holds."""
    return ids.map(lambda id: quote(" ".join(id.split())), na_action="ignore").astype(object)


def _named(rows: pd.DataFrame, entity: str, sides: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Give rows the ``name`` or ``title`` by which people know them; a registration its contact's and its event's."""
    name, title = _full_name(rows), tidy(rows["title"]) if "title" in rows else ""
    if entity == REGISTRATION and sides:
        name = look_up(rows["contact"], sides[MEMBER]["name"]).fillna(name)
        title = look_up(rows["event"], sides[EVENT]["title"]).fillna("")
    return rows.assign(name=name, title=title)


def _full_name(rows: pd.DataFrame, suffix: str = "") -> pd.Series:
    names = pd.Series("", index=rows.index, dtype=object)
    for name in ("first_name", "last_name"):
        if f"{name}{suffix}" in rows:
            names = names + " " + tidy(rows[f"{name}{suffix}"])
    return tidy(names)
