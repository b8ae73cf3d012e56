"""One state, asked by several threads: a panel's own among them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from tests.conftest import ClonedClub, Clubs


@pytest.fixture
def club(clubs: Clubs) -> ClonedClub:
    return clubs.clone("application")


def test_one_state_answers_one_thread_at_a_time(club: ClonedClub) -> None:
    with club.workbench() as wb, ThreadPoolExecutor(4) as pool:
        assert wb.one_state
        first = wb.counts()
        with wb.reading():
            asked = [pool.submit(wb.counts) for _ in range(4)]
            assert not wait(asked, timeout=0.3).done, "they wait for their turn"
            assert wb.counts().equals(first), "who has it may ask on"
            club.execute('DELETE FROM "WaIdMapping"')
        assert all(each.result(30).equals(first) for each in asked), "the same state"
