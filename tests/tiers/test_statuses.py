"""Tiers and statuses are two things: each is judged, and corrected, by the configuration that speaks of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.commands import shell as shell
from tests.recorded import EXCERPTS, Recording
from tests.recorded import recording as recording
from tests.states import state

Open = Callable[..., Recording]

FILES = EXCERPTS / "csv_over_api"
POLICY, IMPORTER, LEVELS = (
    str(FILES / name) for name in ("policy.json", "migration-config.yaml", "membership_levels_mapping.json")
)
ONE_STATUS = (
    """UPDATE "Member" SET "membershipStatusId" = (SELECT id FROM "MembershipStatus" WHERE code = %s)"""
)


def change(place: Recording, statement: str, *values: object) -> None:
    with psycopg.connect(place.url) as connection:
        connection.execute(statement, values)  # type: ignore[arg-type]


def checks(place: Recording, *ids: str) -> dict[str, Any]:
    return {finding["check"]: finding for finding in place.json("check", *ids)["findings"]}


def test_each_is_judged_by_its_own_configuration(recording: Open) -> None:
    club = recording("csv_over_api")
    both = club.json("tiers", "--mapping", POLICY, "--mapping", IMPORTER)
    tiers, statuses = both["tiers"], both["statuses"]
    assert (both["kind"], both["wrong"], tiers["mapping"]["name"]) == ("tier", 2, "policy.json")
    assert (tiers["wrong"], tiers["none"], tiers["unknown_codes"]) == (2, 2, [])
    # One has a status of the sync's own, which no line of the importer's configuration gives.
    assert (statuses["wrong"], statuses["none"], statuses["mapping"]["default"]) == (1, 0, "PROSPECT")
    assert [(row["expected"], row["actual"]) for row in statuses["matrix"] if row["finding"] == "wrong"] == [
        ("PROSPECT", "NEWCOMER")
    ]
    assert sum(row["members"] for row in statuses["matrix"] if row["finding"] == "of its own") == 1

    # What has no configuration is counted and not judged, and never green.
    for file, kind, other in ((POLICY, "tier", "statuses"), (IMPORTER, "status", "tiers")):
        one = club.json("tiers", "--mapping", file)
        assert (one["kind"], one[other]["matrix"], one[other]["wrong"]) == (kind, None, None)
        assert one[other]["not_compared"]
        assert sum(row["members"] for row in one[other]["distribution"]) == 18
    assert club.run("tiers", "--mapping", IMPORTER, "--mapping", LEVELS).returncode == 2  # both give statuses


def test_a_level_mapping_gives_statuses_and_ignores_levels(recording: Open) -> None:
    club = recording("truncated")
    said = club.json("tiers", "--mapping", LEVELS)
    assert (said["kind"], said["tiers"], said["mapping"]["ignored"]) == ("status", None, ["Admins"])
    expected = {
        row["level"]: (row["expected"], row["finding"]) for row in said["matrix"] if row["actual"] == "active"
    }
    assert expected["Alumni"] == ("lapsed", "wrong")
    assert expected["2nd Year"] == (None, "unknown level")
    assert [row["finding"] for row in said["matrix"] if row["level"] == "Admins"] == ["ignored"]
    assert "Admins" not in {row["level"] for row in said["unknown_levels"]}
    plan = club.json("plan", "tiers", "--mapping", LEVELS, "--level", "Alumni")
    assert plan["changes"] == {"Member": {"update": 4}}
    assert any("4 members have the status that Wild Apricot itself gave" in note for note in plan["notes"])


def test_tiers_are_not_planned_from_a_status_mapping(recording: Open) -> None:
    file = IMPORTER
    named = recording("csv_over_api", f'tier_mapping = "{file}"')  # as the README once had it
    for words in (
        ("plan", "tiers"),
        ("plan", "tiers", "--mapping", file),
        ("plan", "tiers", "--of", "tiers"),
    ):
        done = named.run(*words)
        assert (done.returncode, Path(file).name in done.stderr, "--of statuses" in done.stderr) == (
            3,
            True,
            True,
        )
    found = checks(named, "tiers-wrong", "tiers-unmapped-level", "tiers-not-seeded")
    assert "pass" not in {finding["status"] for finding in found.values()}
    assert not list(Path().glob(".workbench/plans/*"))
    # Nor statuses from a policy, nor either where there is none.
    assert named.run("plan", "tiers", "--of", "statuses", "--mapping", POLICY).returncode == 3
    assert recording("truncated").run("plan", "tiers", "--mapping", POLICY).returncode == 3


def test_what_cannot_be_compared_is_never_green(recording: Open, tmp_path: Path) -> None:
    levels = json.loads(Path(LEVELS).read_text())
    names = ("2nd Year", "ExtendedNewcomer", "NewcomerMember", "Third Year")
    levels["levels"] += [{"waId": 9, "waName": name, "murmurantTier": "active"} for name in names]
    (tmp_path / "levels.json").write_text(json.dumps(levels))
    # An importer with other rules set nearly all of the statuses.
    club = recording("csv_over_api", f'tier_mapping = "{POLICY}"', 'status_mapping = "levels.json"')
    found = club.json("tiers")["statuses"]
    assert (found["wrong"], found["unknown_levels"], len(found["findings"])) == (0, [], 1)
    change(
        club,
        """UPDATE "Member" m SET "membershipTierId" = t.id FROM "MembershipTier" t WHERE t.code = 'GENERAL'""",
    )
    change(
        club,
        """UPDATE "Member" SET "waMembershipLevelRaw" = 'Admins' WHERE "waMembershipLevelRaw" IS NOT NULL""",
    )
    assert checks(club, "tiers-wrong")["tiers-wrong"]["status"] == "not run"
    # Nobody's level is known.
    named = recording("csv_over_api", f'tier_mapping = "{POLICY}"', f'status_mapping = "{IMPORTER}"')
    change(named, """UPDATE "Member" SET "waMembershipLevelRaw" = NULL""")
    assert checks(named, "tiers-wrong")["tiers-wrong"]["status"] == "not run"
    assert named.run("tiers", "--mapping", IMPORTER).returncode == 1


def test_tiers_that_were_never_seeded(recording: Open) -> None:
    club = recording("truncated", f'tier_mapping = "{POLICY}"')
    found = checks(club, "tiers-not-seeded", "tiers-wrong")
    assert (found["tiers-not-seeded"]["status"], found["tiers-not-seeded"]["count"]) == ("fail", 8)
    assert found["tiers-wrong"]["status"] == "not run"


def test_a_policy_that_switches_tiers_off(recording: Open, tmp_path: Path) -> None:
    policies = json.loads(Path(POLICY).read_text())
    policies["policies"][0]["value"] = False
    (tmp_path / "off.json").write_text(json.dumps(policies))
    club = recording("other_time_zone", 'tier_mapping = "off.json"')
    found = checks(club, "tiers-missing", "tiers-wrong", "tiers-not-seeded")
    assert {(finding["status"], finding["configured"]) for finding in found.values()} == {("not run", False)}
    assert club.run("plan", "tiers").returncode == 3
    assert (
        checks(recording("other_time_zone", f'tier_mapping = "{POLICY}"'), "tiers-missing")["tiers-missing"][
            "count"
        ]
        == 18
    )


def test_everybody_with_one_status_is_found(recording: Open) -> None:
    mappings = (f'tier_mapping = "{POLICY}"', f'status_mapping = "{IMPORTER}"')
    for name, code, settings in (
        ("csv_over_api", "PROSPECT", mappings),
        ("csv_over_api", "active", ()),
        ("truncated", "lapsed", ()),
    ):
        club = recording(name, *settings)
        assert checks(club, "tiers-all-the-same")["tiers-all-the-same"]["status"] == "pass"
        change(club, ONE_STATUS, code)
        found = checks(club, "tiers-all-the-same")["tiers-all-the-same"]
        assert (found["status"], found["count"]) == ("fail", 1)
        assert (found["rows"][0]["key"], found["rows"][0]["kind"]) == (code, "status")


def test_one_status_by_right_is_no_fault(recording: Open, tmp_path: Path) -> None:
    def fires(*settings: str) -> bool:
        club = recording("truncated", *settings)
        change(club, ONE_STATUS, "active")
        change(club, f"""UPDATE "Member" SET "waRawData" = {raw}, "waMembershipLevelRaw" = 'Newcomer'""")
        return bool(checks(club, "tiers-all-the-same")["tiers-all-the-same"]["status"] == "fail")

    raw = """jsonb_set("waRawData", '{status}', '"Active"')"""
    assert not fires()  # Wild Apricot says so
    raw = "NULL"
    assert fires()
    assert not fires(f'status_mapping = "{LEVELS}"')  # a line says so
    (tmp_path / "default.yaml").write_text("membership_status_mapping: {Alumni: lapsed, _default: active}")
    assert fires('status_mapping = "default.yaml"')  # what is left when the lines are missing


@pytest.mark.parametrize("files", [(POLICY, IMPORTER), (LEVELS,)])
def test_everybody_a_prospect_is_corrected_and_taken_back(
    recording: Open, files: tuple[str, ...], tmp_path: Path
) -> None:
    club = recording("csv_over_api")
    change(club, ONE_STATUS, "PROSPECT")
    # A person gave one of them this status by hand, and the application logged it.
    change(
        club,
        """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", "memberId", before, after)
        SELECT gen_random_uuid(), 'UPDATE', 'Member', id, id, '{}',
        jsonb_build_object('membershipStatusId', "membershipStatusId") FROM "Member"
        WHERE "waMembershipLevelRaw" = 'Alumni' ORDER BY id LIMIT 1""",
    )
    with club.connect() as connection:
        before = state(connection, leave_out={"AuditLog"})
    options = [word for file in files for word in ("--mapping", file)]
    if files == (LEVELS,):
        options += ["--level", "Newcomer", "--level", "Alumni"]
    plan = club.json("plan", "tiers", "--of", "statuses", *options)
    # Of a Newcomer, two in their second and one in their third year, three Alumni: all but the one.
    assert plan["changes"] == {"Member": {"update": 3 if files == (LEVELS,) else 6}}
    assert (len(plan["kept"]), len(plan["conflicts"])) == (1, 1)
    assert club.run("approve", plan["id"], "--digest", plan["digest"], "--as", "robin").returncode == 0
    assert club.run("apply", plan["id"], "--yes").returncode == 0
    assert club.json("tiers", *options[: 2 * len(files)])["statuses"]["wrong"] <= 1
    assert checks(club, "tiers-all-the-same")["tiers-all-the-same"]["status"] == "pass"
    assert club.run("undo", plan["id"], "--yes").returncode == 0
    with club.connect() as connection:
        assert state(connection, leave_out={"AuditLog"}) == before
