"""Reports, run for real: a kernel, a database, and what is left in the folder."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reporting.conftest import HOSTILE, settings_for
from tests.test_serving import beside
from workbench import open_workbench
from workbench.errors import DatabaseUnreachable, DocumentError, NotebookFailed, UsageError
from workbench.reporting.runner import _cleaning, _reserved, run_report
from workbench.settings import Settings

PARAMETERS = 'environment: str = "demo"\nunmask: bool = False\nword: str = "nothing"'


def self_contained(page: str) -> None:
    """Check that a page asks for nothing from anywhere."""
    assert not re.search(r"""(src|href|action|data)\s*=\s*["']?\s*(https?:)?//""", page, re.IGNORECASE)
    assert "<script" not in page.lower()
    assert "<iframe" not in page.lower()
    assert not re.search(r"@import|url\(", page)
    assert 'lang="en"' in page


@pytest.mark.parametrize("dialect", ["application"])
def test_the_post_recovery_report(club: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[str, int, int]] = []
    given = {"expected_members": "1", "waive": ["tiers-missing=known"]}
    result = run_report(
        "post-recovery", given, environment="club", settings=club, progress=lambda *step: steps.append(step)
    )
    page, notebook = result.html.read_text(encoding="utf-8"), result.notebook.read_text(encoding="utf-8")
    verdict = json.loads(result.json.read_text(encoding="utf-8"))
    assert verdict == result.verdict
    assert (verdict["status"], verdict["report"], verdict["environment"]["name"]) == (
        "fail",
        "post-recovery",
        "club",
    )
    statuses = {each["check"]: each["status"] for each in verdict["findings"]}
    assert statuses["tiers-missing"] in {"waived", "not run"}
    assert statuses["counts-as-expected"] == "fail"
    assert verdict["made_at"].endswith("+00:00")
    self_contained(page)
    assert "Is it safe to reopen? No." in page
    codes = sum(each["cell_type"] == "code" for each in json.loads(notebook)["cells"])
    assert page.count('<div class="code">') == codes
    assert steps[0][1] == 0
    assert {heading for heading, *_ in steps} >= {"Membership tiers", "The audit trail"}
    # Hostile and personal: neither mark-up nor people.
    assert HOSTILE[0] not in page
    for artefact in (page, notebook, result.json.read_text(encoding="utf-8")):
        assert not re.search(r"\w{2}@\w", artefact), "an address that is not masked"
        assert str(club.home.parent) not in artefact
        assert "postgresql://" not in artefact
        assert ":@/" not in artefact
    folder = {each.name for each in club.reports.iterdir()}
    assert folder == {result.notebook.name, result.html.name, result.json.name, "index.html"}
    assert re.fullmatch(r"post-recovery-club-\d{8}_\d{6}\.ipynb", result.notebook.name)

    # Files named like modules, styles of charts, start-up files and settings have no say; people are shown when asked for.
    monkeypatch.chdir(tmp_path)
    beside(tmp_path)
    hostile = "import os\nos._exit(7)\n"
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    for path in (startup / "00.py", tmp_path / "ipython_config.py", tmp_path / "start.py"):
        path.write_text(hostile)
    (tmp_path / "matplotlibrc").write_text("axes.facecolor: red\nfont.size: 20\n")
    monkeypatch.setenv("IPYTHONDIR", str(startup.parents[1]))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "start.py"))
    monkeypatch.setenv("MPLBACKEND", "none.of.these")
    again = run_report("post-recovery", given, environment="club", settings=club, unmask=True)
    assert {each["check"]: each["status"] for each in again.verdict["findings"]} == statuses
    charts = [re.findall(r'src="data:image[^"]*"', each.html.read_text()) for each in (result, again)]
    assert charts[0] == charts[1] != []
    page = again.html.read_text(encoding="utf-8")
    assert re.search(r"\w{2}@\w", page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert HOSTILE[0] not in page
    self_contained(page)


@pytest.mark.parametrize("dialect", ["application"])
def test_the_report_of_a_run(club: Settings) -> None:
    with open_workbench("club", settings=club) as wb:
        run_id = next(run.run for run in wb.session.find_runs() if run.status == "interrupted")
        sealed, _ = wb.migration.seal(club.environments["club"].import_reports, run=run_id)
    made = run_report("run", {"run_id": run_id}, environment="club", settings=club)
    assert made.verdict["status"] == "fail"
    told = made.html.read_text(encoding="utf-8")
    assert sealed.digest in told
    assert "stopped midway (interrupted)" in told
    assert run_id in told


def test_a_server_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for("postgresql://dana:pa55w0rd@127.0.0.1:9/club", tmp_path, monkeypatch)
    with pytest.raises(DatabaseUnreachable, match="No connection") as caught:
        run_report("post-recovery", environment="club", settings=settings)
    kept = caught.value.notebook  # type: ignore[attr-defined]
    assert "This report did not finish" in kept.with_suffix(".html").read_text(encoding="utf-8")
    assert not kept.with_suffix(".json").exists()
    left = "".join(each.read_text(encoding="utf-8") for each in settings.reports.iterdir())
    assert "pa55w0rd" not in left + str(caught.value)


@pytest.fixture
def anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return settings_for("postgresql://dana:pa55w0rd@127.0.0.1:9/club", tmp_path, monkeypatch)


def test_a_cell_that_fails_is_kept_without_secrets(
    anywhere: Settings, report_folder: Callable[..., Path]
) -> None:
    report_folder(
        "failing",
        PARAMETERS,
        "import os; print(os.environ['CLUB_URL'], os.environ['CLUB_URL'][18:26])",
        "raise ValueError('alice{}example.org at '.format('@') + os.environ['CLUB_URL'])",
        "never = 1",
    )
    with pytest.raises(NotebookFailed, match=r"Cell 4 .* ValueError") as caught:
        run_report("failing", {}, environment="club", settings=anywhere)
    assert caught.value.exit_code == 4
    assert caught.value.cell == 4  # type: ignore[attr-defined]
    kept = caught.value.notebook  # type: ignore[attr-defined]
    left = "".join(each.read_text(encoding="utf-8") for each in anywhere.reports.iterdir())
    for secret in ("pa55w0rd", "alice@", sys.prefix + "/", "papermill-error"):
        assert secret not in left + str(caught.value)
    assert {each.suffix for each in anywhere.reports.iterdir()} == {".ipynb", ".html"}
    assert "ValueError" in kept.read_text(encoding="utf-8")
    self_contained(kept.with_suffix(".html").read_text(encoding="utf-8"))


def test_a_kernel_that_dies(anywhere: Settings, report_folder: Callable[..., Path]) -> None:
    report_folder("dying", PARAMETERS, "import os; os._exit(9)")
    with pytest.raises(NotebookFailed, match="kernel"):
        run_report("dying", environment="club", settings=anywhere)
    assert {each.suffix for each in anywhere.reports.iterdir()} == {".ipynb", ".html"}


def test_the_kernel_is_this_interpreter_and_a_file_is_shown_by_its_name(
    anywhere: Settings, report_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        '{"argv": ["/nowhere/python"], "display_name": "wrong", "language": "python"}', encoding="utf-8"
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    given = tmp_path / "levels of ours.yaml"
    given.write_text("x", encoding="utf-8")
    odd = """a";b'\\n"""
    report_folder(
        "asking",
        PARAMETERS + '\nfile: str = ""',
        f"import sys, os; assert sys.executable == {sys.executable!r}; assert word == {odd!r}",
        "from workbench.settings import load_settings; load_settings().environments['club'].url_env",
        "from pathlib import Path\nPath(file).is_file(), file, os.environ['WORKBENCH_ENVIRONMENT']",
        "print(file)",
    )
    result = run_report("asking", {"word": odd, "file": str(given)}, environment="club", settings=anywhere)
    assert "CLUB_URL" in result.notebook.read_text(encoding="utf-8")
    assert result.verdict["status"] == "not run"  # it came to no conclusion
    assert result.verdict["parameters"]["file"] == given.name
    for artefact in (result.notebook, result.html, result.json):
        written = artefact.read_text(encoding="utf-8")
        assert given.name in written
        assert str(tmp_path) not in written
    # What is no file of this machine stays as it was given.
    clean = _cleaning({"word": "/", "words": ["/nowhere/a", str(given)]}, "")
    assert clean(f"/ /nowhere/a {given}") == f"/ /nowhere/a {given.name}"


def test_two_at_once_do_not_overwrite_each_other(tmp_path: Path) -> None:
    names = [_reserved(tmp_path, "run-club/../x").name for _ in range(3)]
    assert names == ["run-club_.._x", "run-club_.._x-2", "run-club_.._x-3"]


def test_what_is_refused_before_anything_runs(anywhere: Settings) -> None:
    for name, parameters, words in (
        ("post-recoveri", {}, "post-recovery"),
        ("run", {"run": "x"}, "run_id"),
        ("run", {"run_id": "x", "environment": "other"}, "--environment"),
        ("post-recovery", {"waive": 3}, "list"),
    ):
        with pytest.raises(UsageError, match=words):
            run_report(name, parameters, environment="club", settings=anywhere)
    with pytest.raises(UsageError, match="no environment"):
        run_report("run", {"run_id": "x"}, environment="clab", settings=anywhere)
    with pytest.raises(DocumentError, match="not there"):
        run_report(
            "post-recovery", {}, environment="club", settings=anywhere, import_reports=["nowhere.json"]
        )
    assert not anywhere.reports.exists()
