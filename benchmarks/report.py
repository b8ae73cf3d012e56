"""The demo report, beside what its queries take plus a bare kernel start (at most three seconds more)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter

import nbformat
import papermill

from workbench.reporting.runner import run_report
from workbench.settings import DEMO, Settings
from workbench.workbench import open_workbench


def bare_kernel() -> float:
    """Start a kernel through papermill, run one empty cell, stop it; return seconds."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell("pass")],
            metadata={"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}},
        )
        path = Path(folder) / "bare.ipynb"
        nbformat.write(notebook, path)
        begun = perf_counter()
        papermill.execute_notebook(path, Path(folder) / "out.ipynb", progress_bar=False)
        return perf_counter() - begun


def queries(settings: Settings) -> float:
    """Ask everything the report asks, in a process that has it all imported; return seconds."""
    begun = perf_counter()
    with open_workbench(DEMO, settings=settings, one_state=True) as wb:
        wb.check()
        wb.counts()
        wb.tiers.review()
        wb.runs.frame()
        wb.audit.summary()
    return perf_counter() - begun


def compare(settings: Settings, rounds: int = 3) -> None:
    """Print the parts, best of some rounds, and what the report adds to them."""
    kernel = min(bare_kernel() for _ in range(rounds))
    asked = min(queries(settings) for _ in range(rounds))
    whole = min(
        run_report("post-recovery", {}, environment=DEMO, settings=settings).seconds for _ in range(rounds)
    )
    print(f"bare kernel start      {kernel:7.2f} s")
    print(f"its queries            {asked:7.2f} s")
    print(f"the whole report       {whole:7.2f} s")
    print(f"added                  {whole - kernel - asked:7.2f} s   (at most 3)")
