"""Reports, run for real: a kernel, a database, and what is left in the folder."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dialects import one_dialect as one_dialect
from tests.reporting.conftest import HOSTILE, settings_for
from tests.test_serving import beside
from workbench.errors import DatabaseUnreachable, DocumentError, NotebookFailed, UsageError
from workbench.reporting.runner import _cleaner, _reserve, run_report
from workbench.settings import Settings

PARAMETERS = 'environment: str = "demo"\nunmask: bool = False\nword: str = "nothing"'


def self_contained(page: str) -> None:
    """Check that a page asks for nothing from anywhere."""
    assert not re.search(r"""(src|href|action|data)\s*=\s*["']?\s*(https?:)?//""", page, re.IGNORECASE)
    assert "<script" not in page.lower()
    assert "<iframe" not in page.lower()
    assert not re.search(r"@import|url\(", page)
    assert 'lang="en"' in page


def written(settings: Settings) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in settings.reports.iterdir())


def test_the_post_recovery_report(club: Settings) -> None:
    steps: list[tuple[str, int, int]] = []
    given = {"expected_members": "1", "waive": ["tiers-missing=known"]}
    result = run_report(
        "post-recovery", given, environment="club", settings=club, progress=lambda *step: steps.append(step)
    )
    page, notebook = result.html.read_text(encoding="utf-8"), result.notebook.read_text(encoding="utf-8")
    verdict = json.loads(result.json.read_text(encoding="utf-8"))
    assert verdict == result.verdict
    about = (verdict["status"], verdict["report"], verdict["environment"]["name"])
    assert about == ("fail", "post-recovery", "club")
    statuses = {finding["check"]: finding["status"] for finding in verdict["findings"]}
    assert statuses["tiers-missing"] in {"waived", "not run"}
    assert statuses["counts-as-expected"] == "fail"
    assert verdict["made_at"].endswith("+00:00")
    self_contained(page)
    assert "Is it safe to reopen? No." in page
    codes = sum(cell["cell_type"] == "code" for cell in json.loads(notebook)["cells"])
    assert page.count('<div class="code">') == codes
    assert steps[0][1] == 0
    assert {heading for heading, *_ in steps} >= {"Membership tiers", "The audit trail"}
    # Hostile and personal: neither mark-up nor people.
    assert HOSTILE[0] not in page
    for artefact in (page, notebook, result.json.read_text(encoding="utf-8")):
        assert not re.search(r"\w{2}@\w", artefact), "an address that is not masked"
        assert not any(secret in artefact for secret in (str(club.home.parent), "postgresql://", ":@/"))
    names = {path.name for path in club.reports.iterdir()}
    assert names == {result.notebook.name, result.html.name, result.json.name, "index.html"}
    assert re.fullmatch(r"post-recovery-club-\d{8}_\d{6}\.ipynb", result.notebook.name)


@pytest.fixture
def anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose environment is a server that is down."""
    return settings_for("postgresql://dana:pa55w0rd@127.0.0.1:9/club", tmp_path, monkeypatch)


def test_a_server_that_is_down(anywhere: Settings) -> None:
    with pytest.raises(DatabaseUnreachable, match="No connection") as caught:
        run_report("post-recovery", environment="club", settings=anywhere)
    kept = caught.value.notebook  # type: ignore[attr-defined]
    assert "This report did not finish" in kept.with_suffix(".html").read_text(encoding="utf-8")
    assert not kept.with_suffix(".json").exists()
    assert "pa55w0rd" not in written(anywhere) + str(caught.value)


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
    for secret in ("pa55w0rd", "alice@", sys.prefix + "/", "papermill-error"):
        assert secret not in written(anywhere) + str(caught.value)
    assert {path.suffix for path in anywhere.reports.iterdir()} == {".ipynb", ".html"}
    assert "ValueError" in kept.read_text(encoding="utf-8")
    self_contained(kept.with_suffix(".html").read_text(encoding="utf-8"))


def test_a_kernel_that_dies(anywhere: Settings, report_folder: Callable[..., Path]) -> None:
    report_folder("dying", PARAMETERS, "import os; os._exit(9)")
    with pytest.raises(NotebookFailed, match="kernel"):
        run_report("dying", environment="club", settings=anywhere)
    assert {path.suffix for path in anywhere.reports.iterdir()} == {".ipynb", ".html"}


def test_nothing_of_the_user_s_has_a_say_in_the_kernel_and_a_file_is_shown_by_its_name(
    anywhere: Settings, report_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, startup = tmp_path / "jupyter/kernels/python3", tmp_path / "ipython/profile_default/startup"
    for folder in (spec, startup):
        folder.mkdir(parents=True)
    argv = {"argv": ["/nowhere/python"], "display_name": "wrong", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(argv))
    for path in (startup / "00.py", tmp_path / "ipython_config.py", tmp_path / "start.py"):
        path.write_text("import os\nos._exit(7)\n")
    (tmp_path / "matplotlibrc").write_text("axes.facecolor: red\nfont.size: 20\n")
    beside(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "JUPYTER_PATH": str(tmp_path / "jupyter"),
        "JUPYTER_DATA_DIR": str(tmp_path / "jupyter"),
        "IPYTHONDIR": str(startup.parents[1]),
        "PYTHONSTARTUP": str(tmp_path / "start.py"),
        "MPLBACKEND": "none.of.these",
    }.items():
        monkeypatch.setenv(name, value)
    given = tmp_path / "levels of ours.yaml"
    given.write_text("x", encoding="utf-8")
    odd = """a";b'\\n"""
    report_folder(
        "asking",
        PARAMETERS + '\nfile: str = ""',
        f"import sys, os; assert sys.executable == {sys.executable!r}; assert word == {odd!r}",
        "import matplotlib; assert matplotlib.rcParams['axes.facecolor'] == 'white'",
        "from workbench.settings import load_settings; load_settings().environments['club'].url_env",
        "from pathlib import Path\nPath(file).is_file(), file, os.environ['WORKBENCH_ENVIRONMENT']",
    )
    result = run_report("asking", {"word": odd, "file": str(given)}, environment="club", settings=anywhere)
    notebook, page = result.notebook.read_text(encoding="utf-8"), result.html.read_text(encoding="utf-8")
    assert "CLUB_URL" in notebook
    assert result.verdict["status"] == "not run"  # without a verdict
    assert result.verdict["parameters"]["file"] == given.name
    for artefact in (notebook, page, json.dumps(result.verdict)):
        assert given.name in artefact
        assert str(tmp_path) not in artefact
    # Only files that exist are shortened.
    clean = _cleaner({"word": "/", "words": ["/nowhere/a", str(given)]}, "")
    assert clean(f"/ /nowhere/a {given}") == f"/ /nowhere/a {given.name}"


def test_two_at_once_do_not_overwrite_each_other(tmp_path: Path) -> None:
    names = [_reserve(tmp_path, "run-club/../x").stem for _ in range(3)]
    assert names == ["run-club_.._x", "run-club_.._x-2", "run-club_.._x-3"]


def test_what_is_refused_before_anything_runs(anywhere: Settings) -> None:
    def run(name: str, environment: str = "club", reports: tuple[str, ...] = (), **given: object) -> None:
        run_report(name, given, environment=environment, settings=anywhere, import_reports=reports)

    for name, given, words in (
        ("post-recoveri", {}, "post-recovery"),
        ("run", {"run": "x"}, "run_id"),
        ("post-recovery", {"waive": 3}, "list"),
        ("run", {"environment": "clab", "run_id": "x"}, "no environment"),
    ):
        with pytest.raises(UsageError, match=words):
            run(name, **given)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--environment"):
        run_report("run", {"run_id": "x", "environment": "o"}, environment="club", settings=anywhere)
    with pytest.raises(DocumentError, match="does not exist"):
        run("post-recovery", reports=("nowhere.json",))
    assert not anywhere.reports.exists()
