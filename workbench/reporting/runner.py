"""Run a report: check its parameters, execute its notebook, and leave notebook, page and verdict."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import nbformat
from nbformat import NotebookNode
from papermill.execute import ERROR_MARKER_TAG

from workbench import errors
from workbench.database.address import parse_address, redact
from workbench.errors import NotebookFailed, UsageError, WorkbenchError
from workbench.reporting.html import to_html
from workbench.reporting.index import write_index
from workbench.reporting.kernel import execute, kernel_variables
from workbench.reporting.masking import mask_text
from workbench.reporting.templates import checked_parameters, report_parameters, report_template
from workbench.reporting.verdict import MIME
from workbench.settings import Settings

Progress = Callable[[str, int, int], None]
"""Told the heading that begins, how many cells are done, and how many there are."""


@dataclass(frozen=True)
class ReportResult:
    """What a report left.

    Attributes
    ----------
    notebook, html, json : Path
        The executed notebook, the page and the verdict.
    verdict : dict
        The verdict itself; its ``status`` is the worst of its findings.
    seconds : float
        How long it took.
    """

    notebook: Path
    html: Path
    json: Path
    verdict: dict[str, Any]
    seconds: float


def run_report(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    environment: str,
    settings: Settings,
    unmask: bool = False,
    import_reports: Iterable[str | Path] = (),
    progress: Progress | None = None,
) -> ReportResult:
    """Run a report on an environment.

    Parameters
    ----------
    name : str
        A notebook in ``notebooks/reports/`` or ``notebooks/`` that declares parameters, without its ending.
    parameters : mapping, optional
        As its tagged cell declares them; text is converted to the declared type.
    environment : str
        What to look at; the connection itself never travels as a parameter.
    unmask : bool
        Whether personal data may be seen.
    import_reports : iterable of path
        Importers' report files that count as evidence.
    progress : callable, optional
        Called before each cell; see `Progress`.

    Raises
    ------
    UsageError
        Before anything runs: unknown report, environment or parameter, or a wrong value.
    NotebookFailed
        When a cell failed. Notebook and page were kept; its ``notebook`` and ``cell`` say where.
    WorkbenchError
        The error of the workbench that stopped a cell, with its own exit code.
    """
    begun = perf_counter()
    given = dict(parameters or {})
    if given.get("environment", environment) != environment:
        raise UsageError("The environment is no parameter of a report.", "Choose it with --environment.")
    given = checked_parameters(name, {**given, "environment": environment})
    unmask = unmask or bool(given.get("unmask"))
    files = [Path(path) for path in (*import_reports, *given.pop("import_reports", []))]
    declared = report_parameters(name)
    if "unmask" in declared:
        given["unmask"] = unmask
    if "one_state" in declared:  # a notebook that people work in as well
        given["one_state"] = True
    variables = kernel_variables(environment, settings, files)
    made_at = datetime.now(UTC)
    try:
        settings.reports.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkbenchError(
            f"The folder for reports, {settings.reports}, cannot be made: {error.strerror}.",
            "Name another as reports in workbench.toml, or in WORKBENCH_REPORTS.",
        ) from None
    target = _reserve(settings.reports, f"{name}-{environment}", made_at)
    try:
        notebook, stopped = _execute(report_template(name), given, variables, progress)
        secret = _secret(environment, settings)
        verdict = _taken_out(notebook)
        named = _named_files(given)
        _tidy(notebook, name, target, secret, unmask, named)
        verdict = {
            "status": "not run",
            "headline": "It came to no conclusion.",
            "findings": [],
            **_by_name(verdict, named),
        }
        verdict |= {
            "report": name,
            "parameters": _by_name(given, named),
            "import_reports": sorted(path.name for path in files),
        }
        verdict["made_at"] = made_at.isoformat(timespec="seconds")
        verdict.setdefault(
            "environment", {"name": environment, "kind": settings.environment(environment).kind}
        )
        failure = _failure(stopped, notebook, _final(target, ".ipynb"), secret, unmask) if stopped else None
        page = to_html(
            notebook,
            verdict,
            f"{_title(notebook, name)} · {environment}",
            _by_name(failure.what, named) if failure else "",
        )
        _write(target, ".html", page)
        if failure is None:
            _write(target, ".json", json.dumps(verdict, indent=2, ensure_ascii=False) + "\n")
        _write(target, ".ipynb", nbformat.writes(notebook) + "\n")  # type: ignore[no-untyped-call, unused-ignore]
        write_index(settings.reports)
    finally:
        for ending in (".ipynb", ".html", ".json"):
            _part(target, ending).unlink(missing_ok=True)
    if failure is not None:
        raise failure
    return ReportResult(
        _final(target, ".ipynb"),
        _final(target, ".html"),
        _final(target, ".json"),
        verdict,
        perf_counter() - begun,
    )


def _execute(
    template: Path, parameters: dict[str, Any], variables: dict[str, str], progress: Progress | None
) -> tuple[NotebookNode, Exception | None]:
    """Execute the notebook, telling the heading of each cell before it is run."""
    headings = [""]
    for cell in nbformat.read(template, as_version=4).cells:  # type: ignore[no-untyped-call, unused-ignore]
        found = re.match(r"#+ (.*)", cell.source) if cell.cell_type == "markdown" else None
        headings.append(found[1] if found else headings[-1])

    def begin(cell: NotebookNode, cell_index: int) -> None:
        if progress is not None:
            progress(headings[min(cell_index + 1, len(headings) - 1)], cell_index, len(headings))

    return execute(template, parameters, variables, begin)


def _taken_out(notebook: NotebookNode) -> dict[str, Any]:
    """Take the verdict out of the outputs; an empty one when the notebook gave none."""
    found: dict[str, Any] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            found = output.get("data", {}).pop(MIME, found)
    return dict(found)


def _named_files(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the files of this machine among a report's parameters, each with the name it is shown by."""
    values = [each for value in given.values() for each in (value if isinstance(value, list) else [value])]
    paths = [Path(each) for each in values if isinstance(each, str) and Path(each).is_absolute()]
    there = {str(each): each.name for each in paths if len(each.parts) > 2 and each.exists()}
    return dict(sorted(there.items(), key=lambda each: -len(each[0])))


def _by_name(value: Any, named: Mapping[str, str]) -> Any:
    """Return a value with every path in it replaced by the file's name."""
    if isinstance(value, str):
        for path, name in named.items():
            value = value.replace(path, name)
    elif isinstance(value, dict):
        return {key: _by_name(each, named) for key, each in value.items()}
    elif isinstance(value, list):
        return [_by_name(each, named) for each in value]
    return value


def _tidy(
    notebook: NotebookNode, name: str, target: Path, secret: str, unmask: bool, named: Mapping[str, str]
) -> None:
    """Leave no path of this machine, no secret and no person in what will be passed on."""
    notebook.cells = [
        cell for cell in notebook.cells if ERROR_MARKER_TAG not in cell.metadata.get("tags", [])
    ]
    notebook.metadata.papermill.update(input_path=f"{name}.ipynb", output_path=f"{target.name}.ipynb")
    notebook.metadata.papermill["environment_variables"] = {}
    notebook.metadata.papermill["parameters"] = _by_name(
        dict(notebook.metadata.papermill["parameters"]), named
    )

    def clean(text: str, failed: bool = False) -> str:
        text = _by_name(redact(text, secret), named)
        if not failed:
            return text
        for folder in _FOLDERS:
            text = text.replace(folder, "…")
        return text if unmask else mask_text(text)

    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = clean(cell.source)
        for output in cell.get("outputs", []):
            failed = output.output_type == "error" or output.get("name") == "stderr"
            for key in ("text", "ename", "evalue"):
                if key in output:
                    output[key] = clean(output[key], failed)
            if "traceback" in output:
                output["traceback"] = [clean(line, failed) for line in _traceback(output)]
            for kind, value in output.get("data", {}).items():
                if isinstance(value, str):
                    output["data"][kind] = clean(value)


_FOLDERS = tuple(
    sorted(
        {
            str(folder) + os.sep
            for folder in (
                Path(errors.__file__).parents[1],
                sys.prefix,
                sys.base_prefix,
                Path.cwd(),
                Path.home(),
            )
        },
        key=len,
        reverse=True,
    )
)


def _traceback(output: NotebookNode) -> list[str]:
    """Return an error's traceback; for an error of the workbench its text says all there is to say."""
    return [f"{output.ename}: {output.evalue}"] if _known(output.ename) else list(output.traceback)


def _known(name: str) -> type[WorkbenchError] | None:
    found = getattr(errors, name, None)
    return found if isinstance(found, type) and issubclass(found, WorkbenchError) else None


def _failure(
    stopped: Exception, notebook: NotebookNode, path: Path, secret: str, unmask: bool
) -> WorkbenchError:
    """Turn what stopped a notebook into the workbench's own error, of the same kind where there is one."""
    kept = f"What was found until then is in {path}."
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            if output.output_type != "error":
                continue
            known = _known(output.ename)
            if known is not None:
                failure = known(output.evalue, kept)
            else:
                last = (output.evalue.strip() or output.ename).splitlines()[-1]
                failure = NotebookFailed(f"Cell {number} of the report failed: {output.ename}: {last}.", kept)
            return _located(failure, number, path)
    reason = redact((str(stopped).strip() or type(stopped).__name__).splitlines()[-1], secret)
    return _located(NotebookFailed(f"The report's kernel stopped: {reason}.", kept), None, path)


def _located(failure: WorkbenchError, cell: int | None, path: Path) -> WorkbenchError:
    failure.cell, failure.notebook = cell, path  # type: ignore[attr-defined]
    return failure


def _secret(environment: str, settings: Settings) -> str:
    """Return the database's password, to be looked for in what is written."""
    with suppress(UsageError):
        url = os.environ.get(settings.environment(environment).url_env or "", "")
        return str(parse_address(url, named="").url.password or "") if url else ""
    return ""


def _title(notebook: NotebookNode, name: str) -> str:
    found = (re.match(r"# (.*)", cell.source) for cell in notebook.cells if cell.cell_type == "markdown")
    return next((match[1] for match in found if match), name)


def _reserve(folder: Path, stem: str, moment: datetime) -> Path:
    """Return a path without ending that no other report has or is about to have."""
    plain = re.sub(r"[^\w.-]+", "_", f"{stem}-{moment:%Y%m%d_%H%M%S}")
    for number in range(1, 1000):
        target = folder / (plain if number == 1 else f"{plain}-{number}")
        try:
            _part(target, ".ipynb").open("x").close()
        except FileExistsError:
            continue
        if not any(_final(target, ending).exists() for ending in (".ipynb", ".html", ".json")):
            return target
        _part(target, ".ipynb").unlink()
    raise WorkbenchError(f"There is no free name for {plain} in {folder}.", "Clear the folder.")


def _final(target: Path, ending: str) -> Path:
    return target.with_name(target.name + ending)  # a name may hold dots of its own


def _part(target: Path, ending: str) -> Path:
    return target.with_name(f".{target.name}.part{ending}")


def _write(target: Path, ending: str, content: str) -> None:
    """Write under a temporary name, then rename: a reader never sees half a report."""
    part = _part(target, ending)
    with part.open("w", encoding="utf-8", newline="\n") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(_final(target, ending))
