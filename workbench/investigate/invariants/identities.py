"""Invariants of ids: none missing, none twice, and no mapping of what was not processed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from workbench.investigate.invariants.documents import (
    SECTIONS,
    Content,
    Document,
    Evidence,
    NotTold,
    Violation,
    given_up,
    key_of,
)

NO_RECORDS = (
    "No file here lists records: the API sync's report only counts. Seal the full report, id map or exports."
)


def wa_ids_present(evidence: Evidence) -> Iterator[Violation]:
    """Yield what has no Wild Apricot id: processed records, mappings, lines of an export."""
    _some_ids(evidence)
    for document, name, records in evidence.full_reports():
        for each in records:
            if not given_up(each) and not each.get("_waId"):
                yield Violation(
                    document.name, key_of(each, name), "it was processed without a Wild Apricot id"
                )
    for document, name, number, each in _mappings(evidence):
        if not each.get("waId"):
            yield Violation(document.name, f"{SECTIONS[name]} mapping {number}", "it maps no Wild Apricot id")
    for file, lines in evidence.exports.items():
        for number, line in enumerate(lines, 2):
            if not line.wa_id:
                yield Violation(file, f"{line.entity} of row {number}", "it has no Wild Apricot id")


def wa_ids_unique(evidence: Evidence) -> Iterator[Violation]:
    """Yield the Wild Apricot ids that occur more than once in a file, or that an id map itself calls duplicates."""
    _some_ids(evidence)
    for document, name, records in evidence.full_reports():
        ids = (each.get("_waId") for each in records if not given_up(each))
        yield from _twice(document.name, SECTIONS[name], ids)
    for document in evidence.documents:
        for name, entity in SECTIONS.items():
            yield from _twice(
                document.name, entity, (each.get("waId") for each in document.mappings(name)), " mapped"
            )
            if document.kind == "id map":
                said = document.section(name).get("duplicateWaIds")
                for each in said if isinstance(said, list) else ():
                    yield Violation(document.name, f"{entity} {each}", "the id map calls it a duplicate")
    for file, lines in evidence.exports.items():
        for entity in SECTIONS.values():
            yield from _twice(file, entity, (each.wa_id for each in lines if each.entity == entity))


def murmurant_ids_present(evidence: Evidence) -> Iterator[Violation]:
    """Yield what a live run processed or mapped without a Murmurant id, or with a dry run's made-up one."""
    live = [each for each in evidence.documents if not each.dry and each.kind != "api"]
    if not live:
        raise NotTold(
            "Only a live run's full report or id map names Murmurant's ids, and there is none here."
        )
    for document, name, records in evidence.full_reports():
        if not document.dry:
            for each in records:
                if not given_up(each) and (problem := _no_id(each.get("_murmurantId"))):
                    yield Violation(document.name, key_of(each, name), f"it was processed {problem}")
    for document, name, number, each in _mappings(evidence):
        if not document.dry and (problem := _no_id(each.get("murmurantId"))):
            yield Violation(
                document.name, f"{key_of(each, name)}, mapping {number}", f"it is mapped {problem}"
            )
    for document in live:
        yield from _missing(document, evidence)


def mappings_processed(evidence: Evidence) -> Iterator[Violation]:
    """Yield the mappings of records that the run's report does not list as processed, or lists with another id."""
    mapped = [each for each in evidence.documents if any(each.mappings(name) for name in SECTIONS)]
    if not mapped:
        raise NotTold("No id map is here, and no report has one in it.")
    unjudged = []
    for document in mapped:
        for name in SECTIONS:
            mappings = document.mappings(name)
            processed = _processed(evidence, document.run, name)
            if processed is None:
                unjudged += [document.name] if mappings else []
                continue
            for each in mappings:
                wa_id, own = str(each.get("waId") or ""), str(each.get("murmurantId") or "")
                if wa_id and wa_id not in processed:
                    says = "it is mapped, but the run's report does not say that it was processed"
                    yield Violation(document.name, f"{SECTIONS[name]} {wa_id}", says)
                elif wa_id and own not in processed[wa_id]:
                    says = f"it is mapped to {own or 'nothing'}, the run's report says {', '.join(sorted(processed[wa_id]))}"
                    yield Violation(document.name, f"{SECTIONS[name]} {wa_id}", says)
    if unjudged:
        names = ", ".join(sorted(set(unjudged))[:3])
        raise NotTold(
            f"The full report of the run that {names} is of is not here, or does not list all records."
        )


def _some_ids(evidence: Evidence) -> None:
    if not (evidence.full_reports() or any(_mappings(evidence)) or evidence.exports):
        raise NotTold(NO_RECORDS)


def _mappings(evidence: Evidence) -> Iterator[tuple[Document, str, int, Content]]:
    for document in evidence.documents:
        for name in SECTIONS:
            for number, each in enumerate(document.mappings(name), 1):
                yield document, name, number, each


def _twice(file: str, entity: str, ids: Iterable[object], how: str = "") -> Iterator[Violation]:
    counted = Counter(str(each) for each in ids if each)
    for wa_id, count in sorted(counted.items()):
        if count > 1:
            yield Violation(file, f"{entity} {wa_id}", f"it is{how} there {count} times")


def _no_id(value: object) -> str:
    if not value:
        return "without a Murmurant id"
    return "with the made-up id of a dry run" if str(value).startswith("dry-") else ""


def _missing(document: Document, evidence: Evidence) -> Iterator[Violation]:
    """Yield what an id map says is missing, unless the run's report says that it was given up on."""
    if document.kind != "id map":
        return
    for name, entity in SECTIONS.items():
        said = document.section(name).get("missingWaIds")
        explained = _given_up_on(evidence, document.run, name)
        for each in said if isinstance(said, list) else ():
            if str(each) not in explained:
                says = "the id map has no Murmurant id for it, and no report says that it was given up on"
                yield Violation(document.name, f"{entity} {each}", says)


def _given_up_on(evidence: Evidence, run: str, name: str) -> set[str]:
    found = set()
    for document in evidence.of_run(run):
        found |= {str(each.get("_waId")) for each in document.records(name) or () if given_up(each)}
        errors = document.content.get("errors")
        for each in errors if isinstance(errors, list) else ():
            if isinstance(each, dict) and f"{each.get('entity')}s".lower() == name:
                found.add(str(each.get("waId")))
    return found


def _processed(evidence: Evidence, run: str, name: str) -> dict[str, set[str]] | None:
    """Return WA id to Murmurant's ids of what the run's full report says was processed; None without one."""
    listed = [document.records(name) for document in evidence.of_run(run) if document.kind == "csv"]
    full = [records for records in listed if records is not None]
    if not full:
        return None
    found: dict[str, set[str]] = {}
    for records in full:
        for each in records:
            if not given_up(each):
                found.setdefault(str(each.get("_waId") or ""), set()).add(str(each.get("_murmurantId") or ""))
    return found
