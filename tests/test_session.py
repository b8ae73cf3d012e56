"""One state, asked by several threads: a panel's own among them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.conftest import ClonedClub


def test_one_state_answers_several_threads(club: ClonedClub) -> None:
    with club.workbench() as wb, ThreadPoolExecutor(4) as pool:
        assert wb.one_state
        asked = [pool.submit(wb.counts) for _ in range(4)] + [
            pool.submit(wb.tier_distribution) for _ in range(4)
        ]
        first, *others = [each.result() for each in asked[:4]]
        assert all(each.equals(first) for each in others)
        club.execute('DELETE FROM "WaIdMapping"')
        assert wb.counts().equals(first), "still the same state"
