"""No original of a personal value is seen again."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.reporting.masking import DOTS, kind_of, mask, mask_text

PERSONAL = (
    "first_name",
    "lastName",
    "name",
    "email",
    "contactEmail",
    "phone",
    "told",
    "claimed_name",
    "notes",
    "address",
)
# The first draw of a test run builds hypothesis's table of characters, which a busy machine takes seconds for.
quick = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)
values = st.one_of(
    st.text(alphabet=st.characters(exclude_characters="•"), max_size=40),
    st.from_regex(r"[a-zA-Z0-9.+_-]{1,20}@[a-z0-9-]{1,12}(\.[a-z]{2,4})?", fullmatch=True),
    st.integers(),
    st.none(),
)


@quick
@given(st.sampled_from(PERSONAL), st.lists(values, min_size=1, max_size=5))
def test_no_personal_value_survives(column: str, originals: list[object]) -> None:
    frame = pd.DataFrame({column: pd.Series(originals, dtype=object)})
    for original, masked in zip(originals, mask(frame)[column], strict=True):
        if original is None:
            assert masked is None or masked != masked
        elif len(str(original)) > 2:
            assert str(original) not in str(masked)


@quick
@given(
    st.sampled_from(PERSONAL),
    st.text(alphabet=st.characters(exclude_characters="•"), min_size=3, max_size=20),
)
def test_nor_inside_a_json_cell(key: str, original: str) -> None:
    frame = pd.DataFrame({"metadata": [{"changes": {key: original}}], "raw": [json.dumps({key: [original]})]})
    seen = mask(frame)
    assert original not in seen["metadata"][0]["changes"][key]
    assert original not in json.loads(seen["raw"][0])[key][0]


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
    ],
)
def test_what_is_masked_and_what_stays(column: str, value: object, expected: object) -> None:
    assert mask(pd.DataFrame({column: [value]}))[column][0] == expected


def test_text_is_somebody_s_unless_its_column_is_known_to_be_harmless() -> None:
    """Also under the keys of a document, and where a row names the column that its values are of."""
    seen = mask(
        pd.DataFrame({"why": ["a rule"], "motto": ["Ann's"], "kept": [{"motto": "Ann's", "status": "ok"}]})
    )
    assert seen.iloc[0].tolist() == ["a rule", DOTS, {"motto": DOTS, "status": "ok"}]
    declared = pd.DataFrame({"motto": ["a rule's"], "email": ["ann@example.org"]})
    declared.attrs["harmless"] = ("motto", "email")
    assert mask(declared).iloc[0].tolist() == ["a rule's", f"a{DOTS}@example.org"]
    frame = pd.DataFrame(
        {"column": ["motto", "status"], "before": ["Ann's", "PAID"], "now": ["Bob's", "DUE"]}
    )
    assert mask(frame)[["before", "now"]].to_numpy().tolist() == [[DOTS, DOTS], ["PAID", "DUE"]]


def test_a_row_s_own_names_are_masked_in_the_text_beside_them() -> None:
    frame = pd.DataFrame(
        {"last_name": ["Miller"], "why": ["Miller was merged, Millerton was not"], "title": ["Miller's ball"]}
    )
    seen = mask(frame).iloc[0]
    assert seen["why"] == f"{DOTS} was merged, Millerton was not"
    assert seen["title"] == "Miller's ball"


def test_unmasked_is_unchanged_and_a_mask_leaves_the_frame_alone() -> None:
    frame = pd.DataFrame({"name": ["Alice"], "count": [1], "at": pd.to_datetime(["2026-05-01"])})
    before = frame.copy()
    pd.testing.assert_frame_equal(mask(frame, unmask=True), before)
    seen = mask(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert list(seen.dtypes.astype(str))[1:] == list(before.dtypes.astype(str))[1:]


def test_two_columns_of_one_name_and_no_rows_at_all() -> None:
    assert list(mask(pd.DataFrame([["Ann", "Bob"]], columns=["name", "name"])).iloc[0]) == [
        f"A{DOTS}",
        f"B{DOTS}",
    ]
    assert mask(pd.DataFrame(columns=["name", "key"])).columns.tolist() == ["name", "key"]


def test_kinds_by_name() -> None:
    assert [kind_of(each) for each in ("e-mail", "memberEmail", "mobile", "event_name", "id", "motto")] == [
        "email", "email", "phone", None, None, "unknown",
    ]  # fmt: skip
    assert mask_text("mail bob@club.example now") == f"mail b{DOTS}@club.example now"
