"""An entry of the hash chain that was altered, taken out, put in, moved or replaced is named."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.audit.chained import AWKWARD, ENTRIES, Chained, Connection, kinds

APPLICATION_ONLY = {
    "resource": """UPDATE "AuditLog" SET "resourceType" = 'Member' WHERE id = %(id)s""",
    "about": """UPDATE "AuditLog" SET "resourceId" = gen_random_uuid() WHERE id = %(id)s""",
    "person": """UPDATE "AuditLog" SET "memberId" = gen_random_uuid() WHERE id = %(id)s""",
    "image": """UPDATE "AuditLog" SET "before" = '{"a": 1}' WHERE id = %(id)s""",
    "address": """UPDATE "AuditLog" SET "ipAddress" = '' WHERE id = %(id)s""",
    "action": """UPDATE "AuditLog" SET action = 'DELETE' WHERE id = %(id)s""",
}
ALTERATIONS = {
    "moment": """UPDATE "AuditLog" SET "createdAt" = "createdAt" + interval '1 ms' WHERE id = %(id)s""",
    "no moment": """UPDATE "AuditLog" SET "createdAt" = 'infinity' WHERE id = %(id)s""",
    "number's scale": """UPDATE "AuditLog" SET metadata = jsonb_set(metadata, '{n}',
        ((metadata ->> 'n') || '.0')::jsonb) WHERE id = %(id)s""",
    "nothing": """UPDATE "AuditLog" SET metadata = metadata || '{"more": null}' WHERE id = %(id)s""",
    "own seal": """UPDATE "AuditLog" SET metadata = jsonb_set(metadata, '{chain,hash}', '"00"') WHERE id = %(id)s""",
    **APPLICATION_ONLY,
}


@pytest.mark.parametrize("place", [1, 3, ENTRIES])
@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_entry_is_named(chained: Chained, name: str, place: int) -> None:
    if name in APPLICATION_ONLY and chained.ground.workbench.dialect == "guide":
        return  # the guide's log has no such column
    found = chained.after(chained.sql(ALTERATIONS[name], id=chained.ids[place - 1]))
    assert kinds(found) == [("altered", place)]
    assert found.breaks[0].entry == chained.ids[place - 1]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.integers(1, ENTRIES),
    key=st.sampled_from(
        [*AWKWARD, "source", "a key of its own", "chain", "number", "previous", "hash", "version"]
    ),
    value=values,
)
def test_any_single_edit_of_metadata_is_found(chained: Chained, place: int, key: str, value: Any) -> None:
    path = ["chain", key] if key in {"number", "previous", "hash", "version"} else [key]
    written = json.dumps(value)
    with chained.ground.connect() as connection:
        row = connection.execute(
            """SELECT jsonb_set(metadata, %s, %s)::text = metadata::text FROM "AuditLog" WHERE id = %s""",
            [path, written, chained.ids[place - 1]],
        ).fetchone()
    found = chained.after(
        chained.sql(
            'UPDATE "AuditLog" SET metadata = jsonb_set(metadata, %(path)s, %(value)s) WHERE id = %(id)s',
            path=path,
            value=written,
            id=chained.ids[place - 1],
        )
    )
    assert found.status == ("pass" if row == (True,) else "fail")


@pytest.mark.parametrize("place", range(1, ENTRIES + 1))
def test_a_missing_entry_is_named(chained: Chained, place: int) -> None:
    found = chained.after(chained.sql('DELETE FROM "AuditLog" WHERE id = %(id)s', id=chained.ids[place - 1]))
    assert kinds(found) == [("cut" if place == ENTRIES else "missing", place)]


def test_an_entry_stripped_of_its_place_is_named(chained: Chained) -> None:
    strip = """UPDATE "AuditLog" SET metadata = metadata - 'chain' WHERE id = %(id)s"""
    assert kinds(chained.after(chained.sql(strip, id=chained.ids[2]))) == [
        ("missing", 3),
        ("unchained", None),
    ]


def test_an_inserted_entry_is_named(chained: Chained) -> None:
    def copy(connection: Connection) -> None:
        connection.execute(
            """CREATE TEMP TABLE copied AS SELECT * FROM "AuditLog" WHERE id = %s""", [chained.ids[2]]
        )
        connection.execute("UPDATE copied SET id = %s", [other])
        connection.execute('INSERT INTO "AuditLog" SELECT * FROM copied')

    other = str(uuid4())
    found = chained.after(copy)
    assert kinds(found) == [("inserted", 3)]
    assert found.breaks[0].entry == other


def test_an_entry_in_our_name_without_a_place_is_named(chained: Chained) -> None:
    forge = """INSERT INTO "AuditLog" SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(),
        'metadata', t.metadata - 'chain', 'createdAt', now()))).* FROM "AuditLog" t WHERE id = %(id)s"""
    assert kinds(chained.after(chained.sql(forge, id=chained.ids[0]))) == [("unchained", None)]


def test_entries_that_changed_places_are_named(chained: Chained) -> None:
    """Even when both were sealed anew."""

    def swap(connection: Connection) -> None:
        for place, number in ((3, 4), (4, 3)):
            change = f"""jsonb_build_object('chain', metadata -> 'chain' || '{{"number": {number}}}')"""
            chained.sealed_anew(place, change)(connection)

    found = chained.after(swap)
    assert found.breaks[0].number == 3
    assert ("reordered", 4) in kinds(found)
    assert {kind for kind, _ in kinds(found)} <= {"reordered", "replaced"}
    swapped = """UPDATE "AuditLog" t SET metadata = jsonb_set(t.metadata, '{chain}', o.metadata -> 'chain')
        FROM "AuditLog" o WHERE (t.id, o.id) IN ((%(one)s, %(two)s), (%(two)s, %(one)s))"""
    found = chained.after(chained.sql(swapped, one=chained.ids[2], two=chained.ids[3]))
    assert kinds(found) == [("altered", 3), ("altered", 4)]


def test_an_entry_replaced_by_who_knows_how_to_seal_is_named(chained: Chained) -> None:
    for place in (1, 3, ENTRIES):
        found = chained.after(chained.sealed_anew(place, """'{"n": 99}'"""))
        assert kinds(found) == [("replaced", place)]
