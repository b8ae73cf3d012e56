"""Run a report: check its parameters, execute its notebook in this very interpreter, and leave notebook, page and verdict."""

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
from workbench.reporting.templates import checked_parameters, report_parameters, report_template
from workbench.reporting.verdict import MIME
from workbench.settings import Settings, config_file

Progress = Callable[[str, int, int], None]
"""Told the heading that begins, how many cells are done, and how many there are."""

SHARE = Path(__file__).parents[1] / "panels" / "share"
"""Where Jupyter finds the kernel that is this Python, before any other of that name."""

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
    notebook_file = _reserved(settings.reports, f"{name}-{environment}-{made_at:%Y%m%d_%H%M%S}")
    page_file, verdict_file = (notebook_file.with_suffix(ending) for ending in (".html", ".json"))
    try:
        notebook, stopped = _executed(report_template(name), given, variables, progress)
        clean = _cleaning(given, _secret(environment, settings))
        verdict = {
            "status": "not run",
            "headline": "It came to no conclusion.",
            "findings": [],
            "environment": {"name": environment, "kind": kind},
            **_mapped(_taken_out(notebook), clean),
            "report": name,
            "parameters": _mapped(given, clean),
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
            write_whole(
                verdict_file, f"{json.dumps(verdict, indent=2, ensure_ascii=False)}\n".encode(), "report"
            )
        written: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call, unused-ignore]
        write_whole(notebook_file, f"{written}\n".encode(), "report")
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
    """Say by variables what the kernel's own look at the settings must come to, in whatever folder it runs.

    The settings hold the *name* of the variable with the database URL, and the kernel inherits that variable: the
    connection itself never travels, nor do the machine's paths get into the notebook as parameters. `DocumentError`
    for an import report that is not there.
    """
    if missing := next((path for path in import_reports if not path.exists()), None):
        raise DocumentError(f"The import report {missing} is not there.", "Check its name.")
    folders = {name: getattr(settings, name).resolve() for name in ("home", "reports", "backups")}
    variables = {f"WORKBENCH_{name.upper()}": str(folder) for name, folder in folders.items()}
    variables |= {"WORKBENCH_ENVIRONMENT": environment, "PYTHONIOENCODING": "utf-8"}
    if settings.operator_named:  # who is merely logged in is not named by being passed on
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


def _executed(
    template: Path, parameters: dict[str, Any], variables: dict[str, str], progress: Progress | None
) -> tuple[NotebookNode, Exception | None]:
    """Execute a notebook with its parameters; return it with its outputs, and what stopped it if something did."""
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
        transport_encryption="auto",  # what is shown passes through local ports, which others here can reach
    )
    client = NotebookClient(notebook, km=manager, timeout=None, on_cell_start=begin)
    # Settings of IPython and matplotlib, and start-up files, have no say in a report.
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("MPLBACKEND", "PYTHONSTARTUP")
    }
    with TemporaryDirectory(prefix="workbench-ipython-") as own:
        start = Path(own, "profile_default", "startup", "settings.py")
        start.parent.mkdir(parents=True)
        start.write_text("import matplotlib; matplotlib.rcdefaults()", encoding="utf-8")
        try:
            # On its way out a kernel tells the terminal that it was interrupted; nobody has to know.
            surroundings = {**inherited, **variables, "IPYTHONDIR": own}
            client.execute(env=surroundings, stderr=subprocess.DEVNULL, cleanup_kc=True)
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


def _taken_out(notebook: NotebookNode) -> dict[str, Any]:
    """Take the verdict out of the outputs; an empty one when the notebook gave none."""
    verdict: dict[str, Any] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            verdict = output.get("data", {}).pop(MIME, verdict)
    return dict(verdict)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Return a value with every text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return type(value)({key: _mapped(inner, change) for key, inner in value.items()})
    return [_mapped(inner, change) for inner in value] if isinstance(value, list) else value


def _cleaning(given: Mapping[str, Any], secret: str) -> Callable[[str], str]:
    """Return what takes a secret out of a text, and names files of this machine among the parameters by their names."""
    values = [item for value in given.values() for item in (value if isinstance(value, list) else [value])]
    paths = {Path(value) for value in values if isinstance(value, str) and Path(value).is_absolute()}
    files = sorted(
        (path for path in paths if len(path.parts) > 2 and path.exists()), key=lambda path: -len(str(path))
    )

    def clean(text: str) -> str:
        text = redact(text, secret)
        for path in files:
            text = text.replace(str(path), path.name)
        return text

    return clean


def _clean_cell(cell: NotebookNode, clean: Callable[[str], str], unmask: bool) -> None:
    """Leave no path of this machine, no secret and no person in what will be passed on."""

    def strictly(text: str) -> str:
        text = clean(text)
        for folder in _FOLDERS:
            text = text.replace(folder, "…")
        return text if unmask else mask_text(text)

    if "injected-parameters" in cell.metadata.get("tags", []):
        cell.source = clean(cell.source)
    for place, output in enumerate(cell.get("outputs", [])):
        failed = output.output_type == "error"
        if failed and _error_class(output.ename):  # its text says all there is to say
            output.traceback = [f"{output.ename}: {output.evalue}"]
        cell.outputs[place] = _mapped(output, strictly if failed or output.get("name") == "stderr" else clean)


def _error_class(name: str) -> type[WorkbenchError] | None:
    kind = getattr(errors, name, None)
    return kind if isinstance(kind, type) and issubclass(kind, WorkbenchError) else None


def _failure(
    stopped: Exception, notebook: NotebookNode, path: Path, clean: Callable[[str], str]
) -> WorkbenchError:
    """Turn what stopped a notebook into the workbench's own error, of the same kind where there is one."""
    kept = f"What was found until then is in {path}."
    reason = clean((str(stopped).strip() or type(stopped).__name__).splitlines()[-1])
    failure: WorkbenchError = NotebookFailed(f"The report's kernel stopped: {reason}.", kept)
    failed = None
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            if output.output_type == "error" and failed is None:
                failed, kind = number, _error_class(output.ename)
                last = (output.evalue.strip() or output.ename).splitlines()[-1]
                words = f"Cell {number} of the report failed: {output.ename}: {last}."
                failure = kind(output.evalue, kept) if kind else NotebookFailed(words, kept)
    failure.cell, failure.notebook = failed, path  # type: ignore[attr-defined]
    return failure


def _secret(environment: str, settings: Settings) -> str:
    """Return the database's password, to be looked for in what is written."""
    with suppress(UsageError):
        url = os.environ.get(settings.environment(environment).url_env or "", "")
        return parse_address(url, named="").parameters().get("password", "") if url else ""
    return ""


def _reserved(folder: Path, stem: str) -> Path:
    """Take the place of a notebook that no other report has."""
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
            "Name another folder as reports in workbench.toml, or in WORKBENCH_REPORTS.",
        ) from None
