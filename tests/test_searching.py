"""People, events, registrations and mappings found by what somebody types, in both dialects."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Ground
from workbench.errors import SchemaGap, UsageError
from workbench.workbench import Workbench

STRANGE = {
    "<script>alert(1)</script>": "Mark-up",
    "=HYPERLINK(1)": "Formula",
    "100%_sure\\": "Wildcards",
    "שלום עליכם": "Right-to-left",
    "🦜Ärger": "Emoji",
    "x" * 10_000: "Long",
}


@pytest.fixture
def club(ground: Ground) -> Ground:
    return ground


@pytest.fixture
def wb(ground: Ground) -> Workbench:
    return ground.open()


def someone(club: Ground, where: str = "true") -> tuple[str, str, str, str]:
    with club.connect() as connection:
        row = connection.execute(
            f'SELECT id::text, "firstName", "lastName", email FROM "Member" WHERE {where} ORDER BY id LIMIT 1'  # type: ignore[arg-type]
        ).fetchone()
    assert row is not None
    return row


def rename(club: Ground, key: str, first: str, last: str) -> None:
    club.execute(
        'UPDATE "Member" SET "firstName" = %s, "lastName" = %s WHERE id::text = %s', first, last, key
    )


def test_a_person_is_found_by_anything_that_is_known_of_them(club: Ground, wb: Workbench) -> None:
    key, first, last, email = someone(club)
    with club.connect() as connection:
        target = "murmurantId" if club.club.dialect == "guide" else "clubosId"
        mapped = connection.execute(
            f'SELECT "waId"::text FROM "WaIdMapping" WHERE "{target}"::text = %s',
            (key,),  # type: ignore[arg-type]
        ).fetchone()
    assert mapped is not None
    for typed, by in (
        (key, "id"),
        (f"  {key} ", "id"),
        (mapped[0], "WA id"),
        (email, "words"),
        (email.upper(), "words"),
        (f"{first} {last}", "words"),
        (f"{last.upper()} {first.lower()}", "words"),
        (f"{last[1:]} {first[:-1]}", "words"),
        (f"{first} {email[:-4].upper()} {last}", "words"),
    ):
        found = wb.search(typed)
        row = found[found["key"] == key].iloc[0]
        assert row["found_by"] == by, typed
        assert (row["first_name"], row["last_name"], row["email"]) == (first, last, email)
        assert row["wa_ids"] == mapped[0]
        assert row["tier"]
        assert found.attrs["found"] == len(found)


def test_the_beginning_of_an_id_is_enough_where_ids_are_uuids(application: Ground) -> None:
    key = someone(application)[0]
    assert key in set(application.workbench().search(key[:13].upper())["key"])
    assert not len(application.workbench().search("00000000-0000-4"))


def test_what_is_typed_is_literal(club: Ground, wb: Workbench) -> None:
    key = someone(club)[0]
    for typed, last in STRANGE.items():
        rename(club, key, typed, last)
        found = wb.search(typed).set_index("key")
        assert found.loc[key, "first_name"] == typed
    rename(club, key, "Ann_a", "O'Malley")
    for typed in ("%", "_nna", "An%a", "Ann\\_a", "a' OR '1'='1", "Ann\0a", "\ud800", "%%%"):
        assert key not in set(wb.search(typed)["key"]), typed
    assert list(wb.search("ann_a o'malley")["key"]) == [key]
    rename(club, key, "Émilie", "Ångström")
    for typed in ("émilie", "ÉMILIE ångström", "ÅNGSTR"):
        assert list(wb.search(typed)["key"]) == [key], typed
    assert not len(wb.search("emilie angstrom")), "case is nothing, accents are something"


def test_whole_names_come_first_and_the_rest_is_counted(club: Ground, wb: Workbench) -> None:
    bel = someone(club)[0]
    club.execute("""UPDATE "Member" SET "firstName" = 'Annabel'""")
    rename(club, bel, "Bel", "Zzz")
    found = wb.search("bel", limit=3)
    assert len(found) == 3
    assert found.attrs["found"] == 60
    assert found.iloc[0]["key"] == bel, "a whole word before a part of one"
    assert wb.search("bel", limit=3).equals(found)


def test_nobody_is_nobody(wb: Workbench) -> None:
    found = wb.search("nobody at all")
    assert not len(found)
    assert list(found.columns) == ["key", "first_name", "last_name", "email", "tier", "wa_ids", "found_by"]
    for typed in ("", " \n\t"):
        with pytest.raises(UsageError, match="nothing to search for"):
            wb.search(typed)
    with pytest.raises(UsageError, match="at least 1"):
        wb.search("ann", limit=0)
    with pytest.raises(UsageError, match="Nearest: Member"):
        wb.search("ann", "Members")


@pytest.mark.parametrize(
    ("lacking", "entity"),
    [
        ('DROP TABLE "EventRegistration"', "Registration"),
        ('REVOKE SELECT ON "EventRegistration"', "Registration"),
        ('REVOKE SELECT ON "Member"', "Registration"),
        ('REVOKE SELECT ON "Member"', "Mapping"),
    ],
)
def test_where_nothing_can_be_looked_through_nothing_is_called_not_found(
    application: Ground, lacking: str, entity: str
) -> None:
    with application.connect(autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS looker")
        connection.execute("CREATE ROLE looker LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker")
        connection.execute(f"{lacking} {'CASCADE' if lacking.startswith('DROP') else 'FROM looker'}")  # type: ignore[arg-type]
        try:
            with pytest.raises(SchemaGap, match=lacking.split('"')[1]):
                application.open(application.login("looker")).search("ann", entity)
        finally:
            connection.execute("DROP OWNED BY looker; DROP ROLE looker")


def test_what_is_found_has_every_word_and_nothing_is_missed(application: Ground) -> None:
    with application.workbench() as wb:
        everybody = wb.search("@", limit=1_000).to_dict("records")
        assert len(everybody) == 60

        @settings(max_examples=25, deadline=None)
        @given(
            st.text(min_size=1, max_size=6)
            | st.sampled_from(["an", "AN e", "o'", "example ma", "%", "_", "\\"])
        )
        def check(typed: str) -> None:
            words = typed.lower().split()
            if not words or not typed.isascii():
                return  # the alphabets' cases are not the same to both
            names = ("first_name", "last_name", "email")
            expected = {
                row["key"]
                for row in everybody
                if all(any(word in str(row[name]).lower() for name in names) for word in words)
            }
            found = wb.search(typed, limit=1_000)
            assert set(found["found_by"]) - {"words"} or set(found["key"]) == expected

        check()


def test_events_and_registrations_are_found_too(club: Ground, wb: Workbench) -> None:
    with club.connect() as connection:
        table = "Registration" if club.club.dialect == "guide" else "EventRegistration"
        row = connection.execute(
            f"""SELECT r.id::text, m."lastName", m.email, e.id::text, e.title, to_char(e."startTime", 'YYYY-MM-DD')
                FROM "{table}" r JOIN "Member" m ON m.id = r."memberId" JOIN "Event" e ON e.id = r."eventId"
                ORDER BY r.id LIMIT 1"""  # type: ignore[arg-type]
        ).fetchone()
    assert row is not None
    registration, last, email, event, title, day = row
    assert event in set(wb.search(title, "Event")["key"])
    assert event in set(wb.search(f"{day} {title.split()[0]}", "Event")["key"])
    found = wb.search(registration, "Registration").iloc[0]
    assert (found["last_name"], found["title"], found["found_by"]) == (last, title, "id")
    assert registration in set(wb.search(email, "Registration")["key"])


def test_mappings_are_found_by_their_id_and_by_whom_they_lead_to(club: Ground, wb: Workbench) -> None:
    (truth,) = club.breaks("swapped-mappings")
    (key, right), (other, wrong) = sorted(truth.detail["right"].items())
    wa_id = key.split("/")[1]
    found = wb.search(wa_id, "Mapping")
    row = found[found["mapping_key"] == key].iloc[0]
    assert (row["target"], row["found_by"], row["entity"], row["wa_id"]) == (wrong, "WA id", "Member", wa_id)
    person = wb.search(wrong).iloc[0]
    assert (row["first_name"], row["email"]) == (person["first_name"], person["email"])
    for typed in (person["email"], f"{person['last_name']} {person['first_name']}", wrong):
        assert key in set(wb.search(typed, "Mapping")["mapping_key"]), typed
    assert other in set(wb.search(right, "Mapping")["mapping_key"])
    for typed in ("nobody at all", "50\0012", "\ud800", "9" * 30, "%"):
        assert not len(wb.search(typed, "Mapping")), typed
    with pytest.raises(UsageError, match="nothing to search for"):
        wb.search(" ", "Mapping")
    (truth,) = club.breaks("orphaned-mappings")
    key = min(truth.keys)
    found = wb.search(key.split("/")[1], "Mapping").set_index("mapping_key")
    assert found.loc[key, ["first_name", "title"]].isna().all(), "it leads nowhere"
