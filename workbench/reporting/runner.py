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
from papermill.iorw import load_notebook_node

from workbench import errors
from workbench.database.address import parse_address, redact
from workbench.documents import write_whole
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

_HERE = {Path(errors.__file__).parents[1], sys.prefix, sys.base_prefix, Path.cwd(), Path.home()}
_FOLDERS = sorted({f"{folder}{os.sep}" for folder in _HERE}, key=len, reverse=True)


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
    begun, given = perf_counter(), dict(parameters or {})
    if given.get("environment", environment) != environment:
        raise UsageError("The environment is no parameter of a report.", "Choose it with --environment.")
    given = checked_parameters(name, {**given, "environment": environment})
    kind, unmask = settings.environment(environment).kind, unmask or bool(given.get("unmask"))
    files = [Path(path) for path in (*import_reports, *given.pop("import_reports", []))]
    # A notebook that people work in as well shows one state where it is a report.
    own = {"unmask": unmask, "one_state": True}
    given |= {parameter: value for parameter, value in own.items() if parameter in report_parameters(name)}
    variables = kernel_variables(environment, settings, files)
    made_at = datetime.now(UTC)
    notebook = load_notebook_node(str(report_template(name)))
    target = _reserved(settings.reports, f"{name}-{environment}-{made_at:%Y%m%d_%H%M%S}")
    try:
        notebook, stopped = execute(notebook, given, variables, _telling(notebook, progress))
        clean = _cleaning(given, _secret(environment, settings))
        concluded = _taken_out(notebook)
        notebook.cells = [_cleaned(cell, clean, unmask) for cell in notebook.cells]
        verdict = {
            "status": "not run",
            "headline": "It came to no conclusion.",
            "findings": [],
            "environment": {"name": environment, "kind": kind},
            **_mapped(concluded, clean),
            "report": name,
            "parameters": _mapped(given, clean),
            "import_reports": sorted(path.name for path in files),
            "made_at": made_at.isoformat(timespec="seconds"),
        }
        notebook_file, page_file, verdict_file = (
            target.with_name(target.name + ending) for ending in (".ipynb", ".html", ".json")
        )
        failure = _failure(stopped, notebook, notebook_file, clean) if stopped else None
        title = next((heading for heading in _headings(notebook) if heading), name)
        page = to_html(notebook, verdict, f"{title} · {environment}", failure.what if failure else "")
        write_whole(page_file, page.encode(), "report")
        if failure is None:
            facts = json.dumps(verdict, indent=2, ensure_ascii=False)
            write_whole(verdict_file, f"{facts}\n".encode(), "report")
        written: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call, unused-ignore]
        write_whole(notebook_file, f"{written}\n".encode(), "report")
    except BaseException:
        target.with_name(f"{target.name}.ipynb").unlink()
        raise
    write_index(settings.reports)
    if failure is not None:
        raise failure
    return ReportResult(notebook_file, page_file, verdict_file, verdict, perf_counter() - begun)


def _headings(notebook: NotebookNode) -> list[str]:
    """Return the heading above each cell."""
    headings = [""]
    for cell in notebook.cells:
        heading = re.match(r"#+ (.*)", cell.source) if cell.cell_type == "markdown" else None
        headings.append(heading[1] if heading else headings[-1])
    return headings[1:]


def _telling(notebook: NotebookNode, progress: Progress | None) -> Callable[..., None]:
    """Tell the heading of each cell before it is run; papermill has put one more cell among them."""
    headings = ["", *_headings(notebook)]

    def begin(cell: NotebookNode, cell_index: int) -> None:
        if progress is not None:
            progress(headings[min(cell_index, len(headings) - 1)], cell_index, len(headings))

    return begin


def _taken_out(notebook: NotebookNode) -> dict[str, Any]:
    """Take the verdict out of the outputs; an empty one when the notebook gave none."""
    found: dict[str, Any] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            found = output.get("data", {}).pop(MIME, found)
    return dict(found)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Return a value with every text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return type(value)({key: _mapped(each, change) for key, each in value.items()})
    return [_mapped(each, change) for each in value] if isinstance(value, list) else value


def _cleaning(given: Mapping[str, Any], secret: str) -> Callable[[str], str]:
    """Return what takes a secret out of a text, and names files of this machine among the parameters by their names."""
    values = [each for value in given.values() for each in (value if isinstance(value, list) else [value])]
    paths = [Path(each) for each in values if isinstance(each, str) and Path(each).is_absolute()]
    there = sorted(
        (str(each) for each in paths if len(each.parts) > 2 and each.exists()), key=len, reverse=True
    )

    def clean(text: str) -> str:
        text = redact(text, secret)
        for path in there:
            text = text.replace(path, Path(path).name)
        return text

    return clean


def _cleaned(cell: NotebookNode, clean: Callable[[str], str], unmask: bool) -> NotebookNode:
    """Leave no path of this machine, no secret and no person in what will be passed on."""

    def strictly(text: str) -> str:
        text = clean(text)
        for folder in _FOLDERS:
            text = text.replace(folder, "…")
        return text if unmask else mask_text(text)

    if "injected-parameters" in cell.metadata.get("tags", []):
        cell.source = clean(cell.source)
    for place, output in enumerate(cell.get("outputs", [])):
        if output.output_type == "error" and _known(output.ename):  # its text says all there is to say
            output.traceback = [f"{output.ename}: {output.evalue}"]
        failed = output.output_type == "error" or output.get("name") == "stderr"
        cell.outputs[place] = _mapped(output, strictly if failed else clean)
    return cell


def _known(name: str) -> type[WorkbenchError] | None:
    found = getattr(errors, name, None)
    return found if isinstance(found, type) and issubclass(found, WorkbenchError) else None


def _failure(
    stopped: Exception, notebook: NotebookNode, path: Path, clean: Callable[[str], str]
) -> WorkbenchError:
    """Turn what stopped a notebook into the workbench's own error, of the same kind where there is one."""
    kept = f"What was found until then is in {path}."
    outputs = (
        (number, output)
        for number, cell in enumerate(notebook.cells, 1)
        for output in cell.get("outputs", [])
    )
    number, output = next((each for each in outputs if each[1].output_type == "error"), (None, None))
    if output is None:
        reason = clean((str(stopped).strip() or type(stopped).__name__).splitlines()[-1])
        failure: WorkbenchError = NotebookFailed(f"The report's kernel stopped: {reason}.", kept)
    elif known := _known(output.ename):
        failure = known(output.evalue, kept)
    else:
        last = (output.evalue.strip() or output.ename).splitlines()[-1]
        failure = NotebookFailed(f"Cell {number} of the report failed: {output.ename}: {last}.", kept)
    failure.cell, failure.notebook = number, path  # type: ignore[attr-defined]
    return failure


def _secret(environment: str, settings: Settings) -> str:
    """Return the database's password, to be looked for in what is written."""
    with suppress(UsageError):
        url = os.environ.get(settings.environment(environment).url_env or "", "")
        return parse_address(url, named="").parameters().get("password", "") if url else ""
    return ""


def _reserved(folder: Path, stem: str) -> Path:
    """Return a path without ending that no other report has: its notebook's place is taken."""
    plain, number = re.sub(r"[^\w.-]+", "_", stem), 1
    target = folder / plain
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                target.with_name(f"{target.name}.ipynb").touch(exist_ok=False)
                return target
            except FileExistsError:
                number += 1
                target = folder / f"{plain}-{number}"
    except OSError as error:
        raise WorkbenchError(
            f"Reports cannot be written to {folder}: {error.strerror}.",
            "Name another folder as reports in workbench.toml, or in WORKBENCH_REPORTS.",
        ) from None
