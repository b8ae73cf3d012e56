"""Schema and references: both dialects, mixtures, and what is missing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest
from sqlalchemy import select

from tests.conftest import SCHEMAS, database_at
from workbench.database.connection import raw
from workbench.errors import NotMurmurant, SchemaGap
from workbench.murmurant.references import References
from workbench.murmurant.schema import read_schema


def schema_of(url):
    with database_at(url).reading() as connection:
        return read_schema(raw(connection))


@pytest.fixture
def tables(empty_url):
    """A database with a dialect's empty tables, and statements on top."""

    def _make(dialect, *statements):
        with psycopg.connect(empty_url) as connection:
            connection.execute((SCHEMAS / f"{dialect}.sql").read_text(encoding="utf-8"))
            for statement in statements:
                connection.execute(statement)
        return empty_url

    return _make


def test_each_dialect_is_recognised(tables, dialect):
    schema = schema_of(tables(dialect))
    assert schema.dialect == dialect
    schema.require("members", "events", "registrations")
    expected = {"guide": ("Registration", "murmurantId"), "application": ("EventRegistration", "clubosId")}[
        dialect
    ]
    assert schema.table_of("Registration") == expected[0]
    assert schema.resolved["mappings"].spelling["target"] == expected[1]
    assert schema.has("mappings.run_id") == (dialect == "guide")


def test_two_threads_that_ask_at_once_get_the_same_table(tables, monkeypatch):
    """A query with two tables of one name is refused."""
    schema, both = schema_of(tables("guide")), Barrier(2, timeout=20)
    build = type(schema)._relation

    def together(self, name, as_spelled=False):
        made = build(self, name, as_spelled)
        both.wait()
        return made

    monkeypatch.setattr(type(schema), "_relation", together)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(schema.source, ["audit"] * 2)
    assert one is other is schema.source("audit")


def test_a_renamed_target_in_the_application_is_a_mixture(tables):
    url = tables("application", 'ALTER TABLE "WaIdMapping" RENAME "clubosId" TO "murmurantId"')
    schema = schema_of(url)
    assert schema.dialect == "mixed"
    assert schema.has("mappings.target")


def test_both_spellings_at_once_are_read_as_one(tables):
    member = "11111111-1111-1111-1111-111111111111"
    url = tables(
        "application",
        'ALTER TABLE "WaIdMapping" ALTER "clubosId" DROP NOT NULL',
        'ALTER TABLE "WaIdMapping" ADD "murmurantId" text',
        f"""INSERT INTO "WaIdMapping" (id, "entityType", "waId", "clubosId", "murmurantId", "updatedAt") VALUES
            (gen_random_uuid(), 'Member', 1, '{member}', NULL, now()),
            (gen_random_uuid(), 'Member', 2, NULL, 'abc', now()),
            (gen_random_uuid(), 'Member', 3, '{member}', 'newer', now())""",
    )
    with database_at(url).reading() as connection:
        mappings = read_schema(raw(connection)).mappings
        found = dict(connection.execute(select(mappings.c.wa_id, mappings.c.target)).all())
    assert found == {1: member, 2: "abc", 3: "newer"}


def test_what_is_missing_is_named_with_what_would_supply_it(tables):
    schema = schema_of(
        tables("guide", 'ALTER TABLE "WaIdMapping" DROP "murmurantId"', 'DROP TABLE "WaSyncState"')
    )
    with pytest.raises(SchemaGap, match='"murmurantId" or "clubosId"'):
        schema.require("mappings.target")
    with pytest.raises(SchemaGap, match="WaSyncState"):
        schema.require("sync_state")
    assert schema.missing("members", "mappings.target", "sync_state") == ["mappings.target", "sync_state"]


def test_a_column_that_may_not_be_read_counts_as_missing(tables):
    url = tables(
        "guide",
        "DROP ROLE IF EXISTS peeker",
        "CREATE ROLE peeker LOGIN",
        "GRANT USAGE ON SCHEMA public TO peeker",
        'GRANT SELECT (id, "firstName") ON "Member" TO peeker',
    )
    schema = schema_of(url.replace("postgres:@", "peeker:@"))
    assert schema.has("members.first_name")
    assert not schema.has("members.email")


def test_another_database_is_not_murmurants(empty_url):
    with pytest.raises(NotMurmurant, match="is empty"):
        schema_of(empty_url)
    with psycopg.connect(empty_url) as connection:
        connection.execute("CREATE TABLE wp_posts (id int)")
    with pytest.raises(NotMurmurant, match="wp_posts"):
        schema_of(empty_url)


def test_the_applications_references_are_those_of_its_catalogue(tables):
    references = References(schema_of(tables("application")))
    declared = [each for each in references.all if each.declared]
    assert len(declared) == 124
    ways = [(each.child, each.column, each.parent) for each in references.all]
    assert len(set(ways)) == len(ways), "none is soft that is declared"
    rules = [each.on_delete for each in references.to("Member") if each.declared]
    assert {rule: rules.count(rule) for rule in set(rules)} == {"SET NULL": 50, "RESTRICT": 10, "CASCADE": 2}


def test_the_guides_undeclared_references_are_known(tables):
    references = References(schema_of(tables("guide")))
    assert not any(each.declared for each in references.all)
    assert {(each.child, each.column) for each in references.to("Member")} == {
        ("Registration", "memberId"),
        ("WaIdMapping", "murmurantId"),
    }
