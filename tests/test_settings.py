"""Settings: the file, the variables, and how mistakes are named."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from workbench.errors import UsageError
from workbench.settings import load_settings


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def _write(text: str) -> Path:
        path = tmp_path / "workbench.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("WORKBENCH_CONFIG", str(path))
        return path

    return _write


def test_without_a_file_there_is_the_demo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBENCH_CONFIG", raising=False)
    settings = load_settings()
    assert settings.environment("demo").kind == "demo"
    assert (settings.home, settings.scratch_url_env) == (tmp_path / ".workbench", None)
    assert settings.operator


def test_variables_override_the_file_and_paths_begin_at_it(write, monkeypatch):
    path = write(
        'operator = "dana"\nreports = "out"\nscratch_url_env = "SCRATCH_URL"\n'
        '[environments.club]\nkind = "staging"\nurl_env = "X"\nimport_reports = ["in"]\n'
    )
    monkeypatch.setenv("WORKBENCH_OPERATOR", "kim")
    monkeypatch.setenv("WORKBENCH_ENVIRONMENTS__CLUB__URL_ENV", "OTHER_URL")
    settings, club = load_settings(), load_settings().environment("club")
    assert (settings.operator, settings.scratch_url_env) == ("kim", "SCRATCH_URL")
    assert (club.url_env, club.kind) == ("OTHER_URL", "staging")
    assert settings.reports == path.parent / "out"
    assert club.import_reports == (path.parent / "in",)
    with pytest.raises(UsageError, match="Nearest: club"):
        settings.environment("clup")


URL = '"postgresql://dana:hunter2@db/club"'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('opperator = "x"\n', "did you mean 'operator'"),
        ('[environments.club]\nkind = "development"\nurl_enw = "X"\n', "did you mean 'url_env'"),
        ('[environments.club]\nkind = "prod"\nurl_env = "X"\n', "environments.club.kind"),
        ('[environments.club]\nkind = "development"\n', "no url_env"),
        ("operator = \n", "cannot be read"),
        # A value, which may be a secret, is not repeated.
        (f"scratch_url_env = {URL}\n", "scratch_url_env: .*the name of a variable"),
        (f"[environments.club]\nkind = 'demo'\nurl_env = {URL}\n", "url_env: .*the name of a variable"),
        (f"[environments.club]\nkind = {URL}\nurl_env = 'X'\n", "environments.club.kind"),
    ],
)
def test_a_mistake_is_named_with_what_was_meant(write, text, said):
    write(text)
    with pytest.raises(UsageError, match=said) as caught:
        load_settings()
    assert caught.value.exit_code == 2
    assert "hunter2" not in str(caught.value)


def test_a_config_that_is_named_and_absent_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_CONFIG", str(tmp_path / "nowhere.toml"))
    with pytest.raises(UsageError, match="not there"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WORKBENCH_APPROVAL_HOURS", "abc"),
        ("workbench_approval_hours", "-1"),
        ("WORKBENCH_ENVIRONMENTS__CLUB__KIND", "prod"),
        ("WORKBENCH_ENVIRONMENTS__CLUB__KNID", "demo"),
        ("WORKBENCH_ENVIRONMENTS__CLUB__EXPECTED__MEMBERS", "many"),
        ("WORKBENCH_ENVIRONMENTS__CLUB__APP_STOP", "docker stop club"),
        ("WORKBENCH_ENVIRONMENTS__CLUB__APP_STOP", '["docker", 3]'),
        ("WORKBENCH_ENVIRONMENTS__CLUB__RECONCILE__TIME_ZONE", "Mars"),
        ("WORKBENCH_ENVIRONMENTS__CLUBB__URL_ENV", "X"),
        ("WORKBENCH_ENVIRONMENTS__CLUB", '{"lock_timeout": 0}'),
        ("WORKBENCH_ENVIRONMENTS", '{"club": {"kind": "prod"}}'),
        ("WORKBENCH_ENVIRONMENTS", '{"other": {"url_env": "X"}}'),
        ("WORKBENCH_ENVIRONMENTS", "club"),
        ("WORKBENCH_ENVIRONMENTS", "[1]"),
        ("WORKBENCH_ENVIRONMENT", "clup"),
    ],
)
def test_a_wrong_value_in_a_variable_is_the_variables(write, monkeypatch, variable, value):
    path = write('[environments.club]\nkind = "demo"\nurl_env = "X"\n')
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError) as caught:
        load_settings().environment(os.environ.get("WORKBENCH_ENVIRONMENT", "club"))
    assert re.search(rf"The variable {variable}\b(?!_)", str(caught.value))
    assert str(path) not in str(caught.value)


def test_a_wrong_value_in_the_file_stays_the_files_beside_variables(write, monkeypatch):
    path = write('[environments.club]\nkind = "prod"\n[environments.other]\nurl_env = "X"\n')
    for variable, value in {
        "WORKBENCH_ENVIRONMENTS": '{"club": {"lock_timeout": 3}}',
        "WORKBENCH_ENVIRONMENTS__OTHER__LOCK_TIMEOUT": "3",
    }.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert str(caught.value).count(str(path)) == 1
    assert "variable" not in str(caught.value).lower()
    assert all(key in str(caught.value) for key in ("environments.club.kind", "environments.other.kind"))


def test_files_that_notepad_saved_are_read_or_named(club, at, tmp_path):
    """A byte order mark and its line ends are taken as they come; another encoding is named with the file."""
    (tmp_path / "tiers.yaml").write_bytes((club.club.imports / "membership.yaml").read_bytes())
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "own.sql").write_text(
        "-- title = 'Élan'\n\nSELECT id AS key FROM events LIMIT 1", encoding="utf-8"
    )
    (tmp_path / "wrong.csv").write_text(
        "entity,wa_id,new_id,reason\nMember,999999999,nobody,é\n", encoding="utf-8"
    )
    settings = 'policies = "ours"'
    run = at(club, settings)
    files = [tmp_path / name for name in ("workbench.toml", "tiers.yaml", "ours/own.sql", "wrong.csv")]
    plain = {each: each.read_text(encoding="utf-8").replace("dana", "Zoé") for each in files}
    commands = [
        ("tiers", "--mapping", "tiers.yaml", "--json"),
        ("policies", "--json"),
        ("plan", "mapping", "--from", "wrong.csv", "--json"),
    ]

    def answers(encoding: str, spared: frozenset[int] = frozenset()) -> list[tuple[int, str, str]]:
        """Return exit code, answer and message of each, less the digests of files and the moment."""
        for number, path in enumerate(files):
            saved = plain[path].replace("\n", "\r\n")
            path.write_bytes(saved.encode("utf-8" if number in spared else encoding))
        done = [run(*command) for command in commands]
        return [
            (each[0], re.sub(r"[0-9a-f]{64}|\d\d:\d\d:\d\d[.\d]*", "", each[1]), each[2]) for each in done
        ]

    plainly = answers("utf-8")
    assert [code for code, *_ in plainly[:2]] != [2, 2], plainly
    assert answers("utf-8-sig") == plainly
    for encoding in ("utf-16", "latin-1"):
        for code, _, said in answers(encoding):
            assert (code, "workbench.toml" in said, "UTF-8" in said) == (2, True, True), said
        for (code, _, said), path in zip(answers(encoding, frozenset({0})), files[1:], strict=True):
            if encoding == "latin-1" and path.name == "tiers.yaml":
                continue  # it has no letter that is another one there
            assert (code, path.name in said, "UTF-" in said) == (2, True, True), said
