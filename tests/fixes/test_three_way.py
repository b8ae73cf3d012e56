"""One column, three ways: every case of the table, and the rule that holds for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.runs.restoring import UNKNOWN, Outcome, as_stored, decide

VALUES = st.sampled_from([None, "a", "b", "c"])


@pytest.mark.parametrize(
    ("before", "run", "now", "touched", "complete", "outcome"),
    [
        ("a", "b", "a", True, False, Outcome.SAME),  # somebody put it right already
        ("a", "b", "b", False, False, Outcome.RESTORE),
        ("a", UNKNOWN, "b", False, False, Outcome.RESTORE),  # nobody touched the row, so the run did it
        (None, "b", "b", False, False, Outcome.RESTORE),
        ("a", "b", "b", True, False, Outcome.RESTORE),  # somebody touched another column
        ("a", "a", "c", True, False, Outcome.KEPT),  # the run did not change it, somebody did
        ("a", "b", "c", True, False, Outcome.CONFLICT),
        ("a", UNKNOWN, "c", True, False, Outcome.CONFLICT),  # nothing tells which of the two it was
        ("a", UNKNOWN, "c", True, True, Outcome.KEPT),  # the run lists what it changed, and not this
        ("a", UNKNOWN, "c", False, True, Outcome.KEPT),  # so somebody did, between the snapshot and the run
        ("a", "b", "c", False, False, Outcome.CONFLICT),  # by hand, without leaving a time
    ],
)
def test_each_case(
    before: str | None, run: object, now: str | None, touched: bool, complete: bool, outcome: Outcome
) -> None:
    assert decide(before, run, now, changed_since=touched, run_lists_all=complete) is outcome  # type: ignore[arg-type]


@given(before=VALUES, run=VALUES, now=VALUES, touched=st.booleans(), complete=st.booleans())
def test_what_the_run_did_not_leave_is_never_overwritten(
    before: str | None, run: str | None, now: str | None, touched: bool, complete: bool
) -> None:
    outcome = decide(before, run, now, changed_since=touched, run_lists_all=complete)
    if now != run:
        assert outcome is not Outcome.RESTORE
    if now != before and now == run:
        assert outcome is Outcome.RESTORE


@pytest.mark.parametrize(
    ("value", "column_type", "stored"),
    [
        (None, "text", None),
        ("x", "text", "x"),
        (12, "integer", "12"),
        (True, "boolean", "true"),
        ("2026-05-01T10:00:00.120Z", "timestamp(3) without time zone", "2026-05-01 10:00:00.12"),
        ("2026-05-01T10:00:00.000Z", "timestamp(3) without time zone", "2026-05-01 10:00:00"),
        ("yesterday", "timestamp(3) without time zone", UNKNOWN),
        ({"a": 1}, "jsonb", UNKNOWN),
        ("1.50", "numeric(10,2)", UNKNOWN),
        (1.5, "double precision", UNKNOWN),
    ],
)
def test_json_is_compared_as_it_is_stored_or_not_at_all(
    value: object, column_type: str, stored: object
) -> None:
    assert as_stored(value, column_type) == stored
