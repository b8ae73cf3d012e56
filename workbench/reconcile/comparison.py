"""Wild Apricot's own exports compared with the database, record by record.

No trace of a run is needed: a row of the export is matched with its record by the mapping, by other traces of its
import, or as a last resort by its content.
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
from workbench.reconcile import fields, matching
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
}
"""The tables of a comparison and their columns."""

_LIMITS = {
    "missing": ("missing_at_most", "export", "are missing here"),
    "differs": ("differs_at_most", "export", "differ"),
    "extra": (
        "extra_at_most",
        "here",
        "are here and not in the export: it lists a part of the club, or they are duplicates",
    ),
}
"""The limit of each table, its total, and the words for it."""

_SIDE = ["record_id", "name", "title", "reason", "aside", "plan"]


class Comparison:
    """A comparison of exports with the database; registrations last, since they refer to members and events.

    Parameters
    ----------
    accepted : ReconcileSettings
        The accepted differences, and the time zone of the export.

    Attributes
    ----------
    tables : dict of str to DataFrame
        The records of each of `TABLES`: ``entity``, ``wa_id``, ``name`` or ``title``, the ``reason``, and as ``next`` the
        command that leads to a correction. ``differs`` has a row for each ``field``, with the value in the ``export`` and
        ``here``, and which is ``newer``, where known.
    counts : DataFrame
        By ``entity``: how many are in the ``export`` and ``here``, ``found`` in both, and in each of `tables`; missing
        where the entity was not compared.
    why : list of str
        The reasons against going on; empty means go.
    not_compared, notes : list of str
        What could not be compared, and why; other notes.

    Raises
    ------
    UsageError
        When no export is given.
    """

    def __init__(self, wb: Session, exports: Sequence[Export], accepted: ReconcileSettings) -> None:
        if not exports:
            raise UsageError(
                "No export is given.", "Name Wild Apricot's export files, or their folder: --export FOLDER."
            )
        reports: Sequence[ImportReport] = ()
        with suppress(DocumentError):  # they help to match records, but are not required
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
        self._zones: list[str] = []
        self._rows: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
        self._sides: dict[str, pd.DataFrame] = {}  # by WA id: the right record, or why there is none
        counts = []
        with wb.reading() as connection:
            self.known, self.notes = matching.known_ids(connection, wb.schema, reports)
            for entity in ENTITIES:
                parts = [export.rows for export in exports if export.entity == entity]
                records = matching.records(connection, wb.schema, entity) if parts else None
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
        self.why = [*self._exceeded(), *self._zones]

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
        pairs = self._match(entity, rows, records, known)
        pairs = pairs.join(records.set_index("record_id").add_suffix("_here"), on="record_id")
        pairs = _named(pairs, entity, self._sides)
        lost = self._lose(entity, pairs[pairs["record_id"].isna()])
        led = self._differ(entity, pairs[pairs["record_id"].notna()], records, known)
        self._list_extra(entity, records, led, known)
        right = led.assign(record_id=led["should_be"].fillna(led["record_id"]))
        side = pd.concat([right, lost, known[~known["wa_id"].isin(pairs["wa_id"])]])
        self._sides[entity] = keyed(side, "wa_id").reindex(columns=_SIDE)
        return {"export": len(rows), "here": len(records), "found": len(led)}

    def _listed_once(self, things: str, rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.fillna("")  # the files of an entity may have different columns
        self._note(things, int(rows["wa_id"].eq("").sum()), "rows of the export without an id were skipped.")
        named = rows[rows["wa_id"] != ""].drop_duplicates()
        contrary = int(named["wa_id"].duplicated().sum())
        self._note(
            things, contrary, "rows of the export contradict another row of the same id; the last counts."
        )
        return named.drop_duplicates("wa_id", keep="last").reset_index(drop=True).astype(object)

    def _match(
        self, entity: str, rows: pd.DataFrame, records: pd.DataFrame, known: pd.DataFrame
    ) -> pd.DataFrame:
        pairs = matching.match_by_id(rows, records, known)
        if entity == MEMBER:
            return matching.match_by_email(pairs, records)
        if entity == EVENT:
            start = fields.read_moments(pairs["start"], self._order, self.accepted.time_zone)["moment"]
            return matching.match_by_title(pairs.assign(start_moment=start), records)
        pairs["member"] = look_up(pairs["contact"], self._sides[MEMBER]["record_id"])
        pairs["at"] = look_up(pairs["event"], self._sides[EVENT]["record_id"])
        return matching.match_by_place(pairs, records)

    def _lose(self, entity: str, lost: pd.DataFrame) -> pd.DataFrame:
        """List rows without a record, with the ``reason``; ``aside`` where the importer skips them by design."""
        design = matching.left_out(lost, entity).mask(lost["gone"], "")
        aside = design != ""
        reason = design.where(aside, matching.UNTRACED).mask(lost["gone"], matching.GONE)
        parents = (("event", EVENT, "at"), ("contact", MEMBER, "member")) if entity == REGISTRATION else ()
        for name, parent, led in parents:
            why = look_up(lost[name], self._sides[parent]["reason"])
            why = why.mask(why.isna() & lost[led].isna(), "neither in an export nor here")
            reason = reason.mask(why.notna(), f"its {name} " + lost[name].astype(object) + ": " + why)
            aside |= look_up(lost[name], self._sides[parent]["aside"]).eq(True)
        step = self._look(lost).where(lost["gone"], f"workbench triage{self._on}")
        self._list("missing", entity, lost[~aside], reason=reason, next=step)
        self._list("left_out", entity, lost[aside], reason=reason, next=None)
        return lost.assign(reason=reason, aside=aside)

    def _differ(
        self, entity: str, led: pd.DataFrame, records: pd.DataFrame, known: pd.DataFrame
    ) -> pd.DataFrame:
        """List differences; add ``should_be``, the right record, and ``plan``, the command that corrects the mapping."""
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
        for name in fields.FIELDS[entity]:
            if not {name, f"{name}_here"} <= set(rows):
                which = "the export" if name not in rows else "the database"
                self.not_compared.append(f"{things}: {name}, since {which} has no such column.")
                continue
            if name in fields.MOMENTS:
                zone = None if name == "joined" else self.accepted.time_zone
                read = fields.read_moments(rows[name], self._order, zone, rows[f"{name}_here"])
                self._leave(things, name, read["unread"], "cannot be read as a date")
                differs, note = fields.compare_moments(rows, name, read)
                self._zones += [f"{things}: {note}"] if note else []
            else:
                differs, comparable = fields.compare_texts(rows, entity, name, self._statuses)
                self._leave(things, name, ~comparable & (rows[name] != ""), "has no counterpart here")
            command = f"workbench tiers{self._on}" if name == "level" else step
            values = {"export": rows[name], "here": rows[f"{name}_here"], "newer": newer}
            self._list("differs", entity, rows[differs], field=name, **values, next=command)

    def _list_extra(self, entity: str, records: pd.DataFrame, led: pd.DataFrame, known: pd.DataFrame) -> None:
        extra = records[~records["record_id"].isin([*led["record_id"], *led["should_be"].dropna()])]
        ids = keyed(known, "record_id").reindex(extra["record_id"]).set_axis(extra.index)
        extra = _named(extra.assign(wa_id=ids["wa_id"]), entity, {})
        reason = pd.Series("its Wild Apricot id is not in the export", index=extra.index)
        reason = reason.where(ids["wa_id"].notna(), "it has no Wild Apricot id")
        twice = ids["wa_id"].isin(led["wa_id"])
        reason = reason.mask(twice, "a duplicate: its Wild Apricot id leads to another record")
        duplicates = f"workbench duplicates --entity {entity.lower()}{self._on}"
        step = self._look(ids).where(ids["by"] == matching.BY_MAPPING, duplicates)
        self._list("extra", entity, extra, reason=reason, next=step)

    def _exceeded(self) -> list[str]:
        """Return what exceeds its limit."""
        why = []
        for row in self.counts[self.counts["export"].notna()].to_dict("records"):
            for name, (setting, of, words) in _LIMITS.items():
                count, total, limit = row[name], row[of], getattr(self.accepted, setting)
                most = float(limit[:-1]) / 100 * total if limit.endswith("%") else float(limit)
                if count > most:
                    things = f"{count:,} of {total:,} {CONCEPT_OF[row['entity']]} ({count / total:.1%})"
                    why.append(f"{things} {words}; the limit is {limit}.")
        if self.counts["export"].isna()[0]:
            why.append("Members were not compared, so it is unknown whether everybody is here.")
        return why

    def _list(self, kind: str, entity: str, rows: pd.DataFrame, **columns: Any) -> None:
        """Add rows to a table; the columns may hold values of other rows too."""
        if len(rows):
            self._rows[kind].append(rows.assign(entity=entity, **columns)[TABLES[kind]])

    def _note(self, things: str, count: int, words: str) -> None:
        self.notes += [f"{things}: {count:,} {words}"] if count else []

    def _leave(self, things: str, field: str, which: pd.Series, why: str) -> None:
        """Note that a field was not compared in some rows."""
        count = int(which.sum())
        self.not_compared += (
            [f"{things}: {field} of {count:,} of {len(which):,}, which {why}."] if count else []
        )

    def _plan(self, entity: str, rows: pd.DataFrame, to: str) -> pd.Series:
        return f"workbench plan mapping {entity} " + _pasted(rows["wa_id"]) + " " + _pasted(rows[to])

    def _look(self, rows: pd.DataFrame) -> pd.Series:
        return "workbench mappings --wa-id " + _pasted(rows["wa_id"]) + self._on


def _pasted(ids: pd.Series) -> pd.Series:
    """Quote ids for a command: an export's cell may hold anything."""
    return ids.map(lambda id: quote(" ".join(id.split())), na_action="ignore").astype(object)


def _named(rows: pd.DataFrame, entity: str, sides: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Add ``name`` and ``title``; of a registration its contact's name and its event's title."""
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
