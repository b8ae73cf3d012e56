"""JupyterLab saves notebooks without what they showed, and a notebook that was only run as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.cli.notebooks import clear_outputs
from workbench.reporting.templates import FOLDERS


@pytest.mark.parametrize(
    "path",
    sorted({each.resolve() for folder in FOLDERS for each in folder.glob("*.ipynb")}),
    ids=lambda path: path.stem,
)
def test_a_notebook_that_was_run_is_saved_as_it_was(path: Path, tmp_path: Path) -> None:
    from jupyter_server.services.contents.largefilemanager import LargeFileManager
    from traitlets.config import Config

    before = json.loads(path.read_text(encoding="utf-8"))
    ran = json.loads(path.read_text(encoding="utf-8"))
    for cell in ran["cells"]:
        cell["metadata"]["trusted"] = True
        if cell["cell_type"] == "code":
            cell["execution_count"] = 3
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "alice@example.org"}]
    ran["metadata"]["kernelspec"]["display_name"] = "Python 3 (ipykernel)"
    ran["metadata"]["language_info"] |= {"version": "3.12.1", "mimetype": "text/x-python"}
    ran["metadata"]["widgets"] = {"state": "alice@example.org"}
    asked = Config(
        {"FileContentsManager": {"pre_save_hook": "workbench.cli.notebooks.clear_outputs"}}
    )  # as the command line gives it
    manager = LargeFileManager(config=asked, root_dir=str(tmp_path))
    model = {"type": "notebook", "format": "json", "content": ran}
    manager.save(model, "saved.ipynb")
    assert json.loads((tmp_path / "saved.ipynb").read_text(encoding="utf-8")) == before


def test_what_is_no_notebook_stays() -> None:
    for model in ({"type": "file", "content": "x"}, {"type": "notebook"}, {"type": "directory"}):
        kept = dict(model)
        clear_outputs(model, path="x")
        assert model == kept
