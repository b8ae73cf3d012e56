"""Run a report: validate its parameters, execute its notebook, and write notebook, page and verdict."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import nbformat
from nbformat import NotebookNode

from workbench import errors
from workbench.database.address import parse_address, redact
from workbench.documents import write_whole
from workbench.errors import DocumentError, NotebookFailed, UsageError, WorkbenchError
from workbench.reporting.html import to_html, write_index
from workbench.reporting.masking import mask_text
from workbench.reporting.questions import MIME
from workbench.reporting.templates import checked_parameters, report_parameters, report_template
from workbench.settings import Settings, config_file

Progress = Callable[[str, int, int], None]
"""Progress callback: the current heading, how many cells are done, how many there are."""

SHARE = Path(__file__).parents[1] / "panels" / "share"
"""A Jupyter data folder whose kernel is this Python."""

_ROOTS = {Path(errors.__file__).parents[1], sys.prefix, sys.base_prefix, Path.cwd(), Path.home()}
_FOLDERS = sorted({f"{folder}{os.sep}" for folder in _ROOTS}, key=len, reverse=True)


@dataclass(frozen=True)
class ReportResult:
    """The files of a report.

    Attributes
    ----------
    notebook, html, json : Path
        The executed notebook, the page and the verdict.
    verdict : dict
        The verdict; its ``status`` is the worst of its findings.
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
        A notebook in ``notebooks/reports/`` or ``notebooks/`` that declares parameters, without number and suffix.
    parameters : mapping, optional
        Its parameters; text is converted to the declared type.
    environment : str
        The environment. The connection itself is never a parameter.
    unmask : bool
        Whether to show personal data.
    import_reports : iterable of path
        Importers' report files to use as evidence.
    progress : callable, optional
        Called before each cell; see `Progress`.

    Raises
    ------
    UsageError
        Before anything runs: unknown report, environment or parameter, or a wrong value.
    NotebookFailed
        If a cell failed. Notebook and page are kept; the error's ``notebook`` and ``cell`` say where.
    WorkbenchError
        The workbench's own error that stopped a cell.
    """
    begun, given = perf_counter(), dict(parameters or {})
    if given.get("environment", environment) != environment:
        raise UsageError("The environment is not a parameter of a report.", "Choose it with --environment.")
    given = checked_parameters(name, {**given, "environment": environment})
    kind, unmask = settings.environment(environment).kind, unmask or bool(given.get("unmask"))
    files = [Path(path) for path in (*import_reports, *given.pop("import_reports", []))]
    fixed = {"unmask": unmask, "one_state": True}
    given |= {parameter: value for parameter, value in fixed.items() if parameter in report_parameters(name)}
    variables = kernel_variables(environment, settings, files)
    made_at = datetime.now(UTC)
    notebook_file = _reserve(settings.reports, f"{name}-{environment}-{made_at:%Y%m%d_%H%M%S}")
    page_file, verdict_file = notebook_file.with_suffix(".html"), notebook_file.with_suffix(".json")
    try:
        notebook, stopped = _execute(report_template(name), given, variables, progress)
        clean = _cleaner(given, _password(environment, settings))
        verdict = {
            "status": "not run",
            "headline": "The report has no verdict.",
            "findings": [],
            "environment": {"name": environment, "kind": kind},
            **_map_text(_take_verdict(notebook), clean),
            "report": name,
            "parameters": _map_text(given, clean),
            "import_reports": sorted(path.name for path in files),
            "made_at": made_at.isoformat(timespec="seconds"),
        }
        for cell in notebook.cells:
            _clean_cell(cell, clean, unmask)
        failure = _failure(stopped, notebook, notebook_file, clean) if stopped else None
        title = next((heading for heading in _headings(notebook) if heading), name)
        page = to_html(notebook, verdict, f"{title} · {environment}", failure.what if failure else "")
        write_whole(page_file, page.encode(), "report")
        if failure is None:
            text = json.dumps(verdict, indent=2, ensure_ascii=False)
            write_whole(verdict_file, f"{text}\n".encode(), "report")
        source: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call, unused-ignore]
        write_whole(notebook_file, f"{source}\n".encode(), "report")
    except BaseException:
        notebook_file.unlink()
        raise
    write_index(settings.reports)
    if failure is not None:
        raise failure
    return ReportResult(notebook_file, page_file, verdict_file, verdict, perf_counter() - begun)


def kernel_variables(
    environment: str, settings: Settings, import_reports: Sequence[Path] = ()
) -> dict[str, str]:
    """Return the environment variables that give a kernel the same settings in any folder.

    They name the variable with the database URL, which the kernel inherits; the URL itself is not among them.
    `DocumentError` for an import report that does not exist.
    """
    if missing := next((path for path in import_reports if not path.exists()), None):
        raise DocumentError(f"The import report {missing} does not exist.", "Check its name.")
    folders = {name: getattr(settings, name).resolve() for name in ("home", "reports", "backups")}
    variables = {f"WORKBENCH_{name.upper()}": str(folder) for name, folder in folders.items()}
    variables |= {"WORKBENCH_ENVIRONMENT": environment, "PYTHONIOENCODING": "utf-8"}
    if settings.operator_named:  # a login name is not passed on as if it were configured
        variables["WORKBENCH_OPERATOR"] = settings.operator
    if config_file().is_file():
        variables["WORKBENCH_CONFIG"] = str(config_file().resolve())
    if import_reports:
        chosen = settings.environment(environment)
        files = (*chosen.import_reports, *(path.resolve() for path in import_reports))
        chosen = chosen.model_copy(update={"import_reports": files})
        known = chosen.model_dump(mode="json", exclude_none=True)
        variables["WORKBENCH_ENVIRONMENTS"] = json.dumps({environment: known})
    return variables


def _execute(
    template: Path, parameters: dict[str, Any], variables: dict[str, str], progress: Progress | None
) -> tuple[NotebookNode, Exception | None]:
    """Execute a notebook; return it with its outputs, and the exception that stopped it."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    notebook = parameterize_notebook(load_notebook_node(str(template)), parameters)
    del notebook.metadata["papermill"]
    headings = _headings(notebook)

    def begin(cell: NotebookNode, cell_index: int) -> None:
        if progress is not None:
            progress(headings[cell_index], cell_index, len(headings))

    manager = AsyncKernelManager(
        kernel_name="python3",
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(SHARE / "kernels")]),
        transport_encryption="auto",  # other users of the machine can reach local ports
    )
    client = NotebookClient(notebook, km=manager, timeout=None, on_cell_start=begin)
    # The user's settings of IPython and matplotlib and their start-up files do not apply.
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("MPLBACKEND", "PYTHONSTARTUP")
    }
    with TemporaryDirectory(prefix="workbench-ipython-") as folder:
        start = Path(folder, "profile_default", "startup", "settings.py")
        start.parent.mkdir(parents=True)
        start.write_text("import matplotlib; matplotlib.rcdefaults()", encoding="utf-8")
        try:
            env = {**inherited, **variables, "IPYTHONDIR": folder}
            client.execute(env=env, stderr=subprocess.DEVNULL, cleanup_kc=True)
        except (CellExecutionError, DeadKernelError, RuntimeError) as error:
            return notebook, error
    return notebook, None


def _headings(notebook: NotebookNode) -> list[str]:
    """Return the heading above each cell."""
    headings = [""]
    for cell in notebook.cells:
        heading = re.match(r"#+ (.*)", cell.source) if cell.cell_type == "markdown" else None
        headings.append(heading[1] if heading else headings[-1])
    return headings[1:]


def _take_verdict(notebook: NotebookNode) -> dict[str, Any]:
    """Remove the verdict from the outputs and return it; empty if there is none."""
    verdict: dict[str, Any] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            verdict = output.get("data", {}).pop(MIME, verdict)
    return dict(verdict)


def _map_text(value: Any, change: Callable[[str], str]) -> Any:
    """Apply a function to every text in a value."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return type(value)({key: _map_text(inner, change) for key, inner in value.items()})
    return [_map_text(inner, change) for inner in value] if isinstance(value, list) else value


def _cleaner(given: Mapping[str, Any], password: str) -> Callable[[str], str]:
    """Return a function that removes a password, and the folders of files that were given as parameters."""
    values = [item for value in given.values() for item in (value if isinstance(value, list) else [value])]
    paths = {Path(value) for value in values if isinstance(value, str) and Path(value).is_absolute()}
    files = [path for path in paths if len(path.parts) > 2 and path.exists()]
    files.sort(key=lambda path: -len(str(path)))

    def clean(text: str) -> str:
        text = redact(text, password)
        for path in files:
            text = text.replace(str(path), path.name)
        return text

    return clean


def _clean_cell(cell: NotebookNode, clean: Callable[[str], str], unmask: bool) -> None:
    """Remove passwords from a cell; from error messages also paths and personal data."""

    def clean_message(text: str) -> str:
        text = clean(text)
        for folder in _FOLDERS:
            text = text.replace(folder, "…")
        return text if unmask else mask_text(text)

    if "injected-parameters" in cell.metadata.get("tags", []):
        cell.source = clean(cell.source)
    for place, output in enumerate(cell.get("outputs", [])):
        is_error = output.output_type == "error"
        if is_error and _error_class(output.ename):  # the message says it all
            output.traceback = [f"{output.ename}: {output.evalue}"]
        is_message = is_error or output.get("name") == "stderr"
        cell.outputs[place] = _map_text(output, clean_message if is_message else clean)


def _error_class(name: str) -> type[WorkbenchError] | None:
    kind = getattr(errors, name, None)
    return kind if isinstance(kind, type) and issubclass(kind, WorkbenchError) else None


def _failure(
    stopped: Exception, notebook: NotebookNode, path: Path, clean: Callable[[str], str]
) -> WorkbenchError:
    """Turn the exception that stopped a notebook into an error of the workbench."""
    kept = f"The results so far are in {path}."
    failed = next(
        (
            (number, output)
            for number, cell in enumerate(notebook.cells, 1)
            for output in cell.get("outputs", [])
            if output.output_type == "error"
        ),
        None,
    )
    failure: WorkbenchError
    if failed is None:
        reason = clean((str(stopped).strip() or type(stopped).__name__).splitlines()[-1])
        failure = NotebookFailed(f"The report's kernel stopped: {reason}.", kept)
    elif kind := _error_class(failed[1].ename):
        failure = kind(failed[1].evalue, kept)
    else:
        number, output = failed
        last = (output.evalue.strip() or output.ename).splitlines()[-1]
        failure = NotebookFailed(f"Cell {number} of the report failed: {output.ename}: {last}.", kept)
    failure.cell, failure.notebook = failed and failed[0], path  # type: ignore[attr-defined]
    return failure


def _password(environment: str, settings: Settings) -> str:
    """Return the database's password, to remove it from what is written."""
    with suppress(UsageError):
        url = os.environ.get(settings.environment(environment).url_env or "", "")
        return parse_address(url, named="").parameters().get("password", "") if url else ""
    return ""


def _reserve(folder: Path, stem: str) -> Path:
    """Create an empty file for a notebook, with a name of its own."""
    stem, number = re.sub(r"[^\w.-]+", "_", stem), 1
    path = folder / f"{stem}.ipynb"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                path.touch(exist_ok=False)
                return path
            except FileExistsError:
                number += 1
                path = folder / f"{stem}-{number}.ipynb"
    except OSError as error:
        raise WorkbenchError(
            f"Reports cannot be written to {folder}: {error.strerror}.",
            "Choose another folder: reports in workbench.toml, or WORKBENCH_REPORTS.",
        ) from None
