"""No original of a personal value is seen again."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.reporting.masking import DOTS, kind_of, mask, mask_text

PERSONAL = ("first_name", "lastName", "name", "email", "contactEmail", "phone", "told", "notes", "address")
values = st.one_of(
    st.text(alphabet=st.characters(exclude_characters="•"), max_size=40),
    st.from_regex(r"[a-zA-Z0-9.+_-]{1,20}@[a-z0-9-]{1,12}(\.[a-z]{2,4})?", fullmatch=True),
    st.integers(),
    st.none(),
)


# The first draw of a test run builds hypothesis's table of characters, which a busy machine takes seconds for.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(st.sampled_from(PERSONAL), values)
def test_no_personal_value_survives(column: str, original: object) -> None:
    documents = [{"metadata": {"changes": {column: original}}, "raw": json.dumps({column: [original]})}]
    masked = mask(pd.DataFrame({column: pd.Series([original], dtype=object)}))[column][0]
    row = mask(pd.DataFrame(documents)).iloc[0]
    if original is None:
        assert pd.isna(masked)
    elif len(str(original)) > 2:
        assert str(original) not in str(masked)
        inner = (row["metadata"]["changes"][column], json.loads(row["raw"])[column][0])
        assert not (isinstance(original, str) and any(original in str(value) for value in inner))


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("first_name", "Alice", f"A{DOTS}"),
        ("email", "alice@example.org", f"a{DOTS}@example.org"),
        ("phone", "+1 555 010 9955", f"{DOTS}55"),
        ("notes", "allergic to nuts", DOTS),
        ("why", "alice@example.org wrote", f"a{DOTS}@example.org wrote"),
        ("key", "6f1c-77", "6f1c-77"),
        ("title", "Alice in Wonderland", "Alice in Wonderland"),
        ("wa_id", 50012, 50012),
        ("table_name", "Member", "Member"),
        ("members", 3, 3),
        ("by_a_person", False, False),
        ("householdMotto", "Ann and Bob forever", DOTS),
        ("favourite", "2f1c77aa-9a52-4f2e-8a6e-7f2f5e2f8a11", "2f1c77aa-9a52-4f2e-8a6e-7f2f5e2f8a11"),
        ("lastSeen", "2026-05-01 10:00:59+00", "2026-05-01 10:00:59+00"),
        ("extra", 7, 7),
        ("extra", "+15550109955", DOTS),
        ("kept", {"motto": "Ann's", "status": "ok"}, {"motto": DOTS, "status": "ok"}),
    ],
)
def test_what_is_masked_and_what_stays(column: str, value: object, expected: object) -> None:
    assert mask(pd.DataFrame({column: [value]}))[column][0] == expected


def test_a_column_may_be_declared_harmless_and_a_row_may_name_the_column_its_values_are_of() -> None:
    declared = pd.DataFrame({"motto": ["a rule's"], "email": ["ann@example.org"]})
    declared.attrs["harmless"] = ("motto", "email")
    assert mask(declared).iloc[0].tolist() == ["a rule's", f"a{DOTS}@example.org"]
    rows = [("motto", "Ann's", "Bob's"), ("status", "PAID", "DUE")]
    frame = mask(pd.DataFrame(rows, columns=["column", "before", "now"]))
    assert frame[["before", "now"]].to_numpy().tolist() == [[DOTS, DOTS], ["PAID", "DUE"]]


def test_a_row_s_own_names_are_masked_in_the_text_beside_them() -> None:
    row = {"last_name": "Miller", "why": "Miller was merged, Millerton was not", "title": "Miller's ball"}
    masked = mask(pd.DataFrame([row])).iloc[0]
    assert masked["why"] == f"{DOTS} was merged, Millerton was not"
    assert masked["title"] == "Miller's ball"


def test_a_frame_keeps_its_shape_and_the_original_is_left_alone() -> None:
    frame = pd.DataFrame({"name": ["Alice"], "count": [1], "at": pd.to_datetime(["2026-05-01"])})
    before = frame.copy()
    pd.testing.assert_frame_equal(mask(frame, unmask=True), before)
    masked = mask(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert masked.dtypes[1:].tolist() == before.dtypes[1:].tolist()
    twice = mask(pd.DataFrame([["Ann", "Bob"]], columns=["name", "name"]))
    assert twice.iloc[0].tolist() == [f"A{DOTS}", f"B{DOTS}"]
    assert mask(pd.DataFrame(columns=["name", "key"])).columns.tolist() == ["name", "key"]


def test_kinds_by_name() -> None:
    names = ("e-mail", "memberEmail", "mobile", "event_name", "id", "motto")
    assert [kind_of(name) for name in names] == ["email", "email", "phone", None, None, "unknown"]
    assert mask_text("mail bob@club.example now") == f"mail b{DOTS}@club.example now"
