"""What became of some of a run's records is what became of them among all."""

from __future__ import annotations

from typing import Any

from tests.conftest import Ground
from workbench.runs.evidence import Fates, record_fates

Told = dict[tuple[str, str | None, str | None], tuple[Any, ...]]


def told(found: list[Fates]) -> Told:
    return {
        (fates.entity, key, wa_id): (fates.action, fates.strength, fates.exists, fates.touched_since)
        for fates in found
        for key, wa_id in zip(fates.record_ids, fates.wa_ids, strict=True)
    }


def test_asking_for_some_records_gives_what_asking_for_all_gives(club: Ground) -> None:
    club.breaks("halted-batch", "duplicate-members", "split-registrations")
    seen = 0
    with club.workbench() as wb, wb.session.reading() as connection:
        runs = [each for each in wb.session.find_runs() if each.mode == "live"]
        for run in runs:
            others = [each for each in runs if each is not run]
            every = told(record_fates(connection, wb.session.schema, run, others))
            ids = sorted({key for _, key, _ in every if key is not None})
            some = [*ids[::7], "nobody"]
            found = told(record_fates(connection, wb.session.schema, run, others, some))
            assert {key: each for key, each in found.items() if key[1] is not None} == {
                key: each for key, each in every.items() if key[1] in some
            }
            seen += len(found)
    assert seen > 100
