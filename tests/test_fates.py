"""What became of some of a run's records is what became of them among all."""

from __future__ import annotations

from typing import Any

from tests.conftest import Ground
from workbench.runs.evidence import Fates, record_fates


def by_record(groups: list[Fates]) -> dict[tuple[str, str | None, str | None], Any]:
    return {
        (group.entity, key, wa_id): (group.action, group.strength, group.exists, group.touched_since)
        for group in groups
        for key, wa_id in zip(group.record_ids, group.wa_ids, strict=True)
    }


def test_asking_for_some_records_gives_what_asking_for_all_gives(club: Ground) -> None:
    club.breaks("halted-batch", "duplicate-members", "split-registrations")
    count = 0
    with club.workbench() as wb, wb.session.reading() as connection:
        runs = [run for run in wb.session.find_runs() if run.mode == "live"]
        for run in runs:
            others = [other for other in runs if other is not run]
            every = by_record(record_fates(connection, wb.session.schema, run, others))
            some = [*sorted({key for _, key, _ in every if key is not None})[::7], "nobody"]
            asked = by_record(record_fates(connection, wb.session.schema, run, others, some))
            asked = {key: fate for key, fate in asked.items() if key[1] is not None}
            assert asked == {key: fate for key, fate in every.items() if key[1] in some}
            count += len(asked)
    assert count > 100
