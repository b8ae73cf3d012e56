"""Settings: the file, the variables, and how mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import SettingsError, UsageError
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
    assert settings.home == tmp_path / ".workbench"
    assert settings.operator


def test_paths_are_anchored_at_the_file(write):
    path = write(
        'reports = "out"\n[environments.club]\nkind = "development"\nurl_env = "X"\nimport_reports = ["in"]\n'
    )
    settings = load_settings()
    assert settings.reports == path.parent / "out"
    assert settings.environment("club").import_reports == (path.parent / "in",)


def test_variables_override_the_file(write, monkeypatch):
    write('operator = "dana"\n[environments.club]\nkind = "staging"\nurl_env = "X"\n')
    monkeypatch.setenv("WORKBENCH_OPERATOR", "kim")
    monkeypatch.setenv("WORKBENCH_ENVIRONMENTS__CLUB__URL_ENV", "OTHER_URL")
    settings = load_settings()
    assert settings.operator == "kim"
    assert settings.environment("club").url_env == "OTHER_URL"
    assert settings.environment("club").kind == "staging"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('opperator = "x"\n', "did you mean 'operator'"),
        ('[environments.club]\nkind = "development"\nurl_enw = "X"\n', "did you mean 'url_env'"),
        ('[environments.club]\nkind = "prod"\nurl_env = "X"\n', "environments.club.kind"),
        ('[environments.club]\nkind = "development"\n', "no url_env"),
        ("operator = \n", "cannot be read"),
    ],
)
def test_a_mistake_is_named_with_what_was_meant(write, text, said):
    write(text)
    with pytest.raises(SettingsError, match=said) as caught:
        load_settings()
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("table", ["", "[environments.club]\nkind = 'demo'\n"])
def test_a_url_where_a_variables_name_belongs_is_refused_and_not_repeated(write, table):
    key = "url_env" if table else "scratch_url_env"
    write(f'{table}{key} = "postgresql://dana:hunter2@db/club"\n')
    with pytest.raises(SettingsError, match=f"{key}: .*the name of a variable") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_the_scratch_server_is_the_embedded_one_unless_a_variable_is_named(write):
    write("")
    assert load_settings().scratch_url_env is None
    write('scratch_url_env = "SCRATCH_URL"\n')
    assert load_settings().scratch_url_env == "SCRATCH_URL"


def test_a_wrong_value_is_not_repeated(write):
    write('[environments.club]\nkind = "postgresql://dana:hunter2@db/club"\nurl_env = "X"\n')
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_a_config_that_is_named_and_absent_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_CONFIG", str(tmp_path / "nowhere.toml"))
    with pytest.raises(SettingsError, match="not there"):
        load_settings()


def test_an_unknown_environment_offers_the_nearest(write):
    write('[environments.production]\nkind = "production"\nurl_env = "X"\n')
    with pytest.raises(UsageError, match="Nearest: production"):
        load_settings().environment("prodction")
