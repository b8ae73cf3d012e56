"""Dry runs before live runs, as the club shows them."""

from __future__ import annotations


def test_what_the_club_shows(guide):
    club = guide
    (broken,) = club.breaks("stale-dry-run")
    with club.workbench() as wb:
        answer = wb.runs.rehearsals()
    rehearsed = answer.tables.rehearsals
    assert set(rehearsed.loc[rehearsed["rehearsed"] == "stale", "run"]) == set(broken.keys)
    assert "stale" in repr(answer)
