"""An environment, opened: one state, asked by several threads, and reports that are read when they are asked for."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

import workbench
from tests.commands import Shell, at, shell  # noqa: F401
from tests.conftest import Clubs, Ground
from workbench.errors import DocumentError
from workbench.workbench import Workbench, open_workbench


@pytest.fixture
def club(clubs: Clubs) -> Ground:
    return clubs.clone("application")


def test_one_state_answers_one_thread_at_a_time(club: Ground) -> None:
    with club.workbench() as wb, ThreadPoolExecutor(4) as pool:
        assert wb.session.one_state
        first = wb.counts().tables.counts
        with wb.session.reading():
            asked = [pool.submit(wb.counts) for _ in range(4)]
            assert not wait(asked, timeout=0.3).done, "they wait for their turn"
            assert wb.counts().tables.counts.equals(first), "who has it may ask on"
            club.execute('DELETE FROM "WaIdMapping"')
        assert all(each.result(30).tables.counts.equals(first) for each in asked), "the same state"


def test_whoever_sees_the_same_session_sees_the_same_state(club: Ground) -> None:
    """As a panel does in a report; and it holds it open, though nobody holds the first one any more."""
    seen = Workbench(club.workbench().session.as_seen(people=True))
    first = seen.counts().tables.counts
    club.execute('DELETE FROM "WaIdMapping"')
    gc.collect()
    assert seen.counts().tables.counts.equals(first)


def test_it_says_what_it_is_and_what_is_open(club: Ground) -> None:
    wb = club.open()
    names = [name for name in dir(wb) if not name.startswith("_")]
    assert len(names) <= 30, names
    assert len(type(wb).__mro__) <= 3, "one base at most"
    assert len(workbench.__all__) <= 12
    lines = repr(wb).splitlines()
    assert len(lines) == 5, lines
    for said in ("(demo)", club.database, "application", "200 members", "0 plans to apply"):
        assert said in repr(wb)
    assert "application" in wb._repr_mimebundle_()["text/html"]
    wb.runs.plan_sync_state()
    assert "1 plan to apply" in repr(wb)
    club.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    assert "Not known" in repr(club.open()), "and never raises"


def test_reports_that_are_not_there_keep_nobody_from_what_needs_none(
    club: Ground,
    server,
    at,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run: Shell = at(club)
    away = club.club.imports.rename(tmp_path / "away")
    monkeypatch.setenv("SCRATCH_URL", server.url("postgres"))
    toml = tmp_path / "workbench.toml"
    toml.write_text('scratch_url_env = "SCRATCH_URL"\n' + toml.read_text())
    for words in (["snapshot", "create"], ["snapshot", "verify"], ["snapshot", "list"], ["audit"]):
        done = run(*words)
        assert done.returncode == 0, done.stderr
    done = run("doctor")
    assert done.returncode == 1
    (line,) = [each for each in done.stdout.splitlines() if each.strip().startswith("import reports")]
    assert "missing" in line
    assert str(club.club.imports) in "".join(done.stdout.split())
    done = run("runs")
    assert done.returncode == 2
    for said in ("environments.club.import_reports", str(club.club.imports), "workbench.toml"):
        assert said in done.stderr

    monkeypatch.setenv("CLUB_URL", club.url)
    with open_workbench("club") as wb:
        wb.counts()
        with pytest.raises(DocumentError, match=r"No such file.* environments\.club\.import_reports"):
            wb.session.find_runs()
        with pytest.raises(DocumentError, match=r"environments\.club\.import_reports"):
            wb.history.losses("latest")
        away.rename(club.club.imports)
        assert wb.session.find_runs()[0].reports, "looked for once more"


def test_a_report_that_somebody_names_is_read_at_once(club: Ground, at) -> None:  # noqa: F811
    done = at(club)("doctor", "--import-report", "nowhere.json")
    assert (done.returncode, "nowhere.json" in done.stderr) == (2, True)
    assert "environments.club" not in done.stderr


def test_frames_cover_people_unless_asked_otherwise(
    club: Ground,
    at,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    club.execute("""UPDATE "Member" SET "firstName" = 'Aurelia', "lastName" = 'Quuxworthy' WHERE id IN
        (SELECT id FROM "Member" ORDER BY id LIMIT 3)""")
    club.execute("""UPDATE "Member" SET email = 'aurelia.quuxworthy@example.org' WHERE id IN
        (SELECT id FROM "Member" ORDER BY id LIMIT 1)""")
    at(club)
    monkeypatch.setenv("CLUB_URL", club.url)
    for unmask in (False, True):
        with open_workbench("club", unmask=unmask) as wb:
            people = wb.search("quuxworthy")
            pairs = wb.duplicates.find("Member", 0.05).records
        assert len(people) == 3
        assert ("Quuxworthy" in people.to_string()) is unmask
        assert ("aurelia.quuxworthy" in people.to_string()) is unmask
        assert ("Quuxworthy" in pairs.to_string()) is (unmask and len(pairs) > 0)


def test_what_is_read_within_is_of_the_same_state(guide):
    session = guide.wb.session
    with session.reading() as around, session.reading() as within:
        assert within is around
    with session.reading() as another:
        assert another is not around
