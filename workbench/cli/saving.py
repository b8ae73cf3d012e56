"""What JupyterLab writes to disk: a notebook without what it showed, for that is members' data."""

from __future__ import annotations

from typing import Any


def without_outputs(model: dict[str, Any], **_: Any) -> None:
    """Take the outputs out of a notebook that is about to be saved; on the page they stay.

    What names one machine's Python goes too, so that a notebook that was only run is saved as it was. To keep
    what was found make a report of it: ``workbench report NAME``.

    Parameters
    ----------
    model : dict
        The contents manager's model of the file; changed in place.
    """
    if model.get("type") != "notebook" or not model.get("content"):
        return
    notebook = model["content"]
    for cell in notebook["cells"]:
        cell["metadata"].pop("execution", None)
        cell["metadata"].pop("trusted", None)
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    about = notebook["metadata"]
    about.pop("widgets", None)
    if about.get("kernelspec", {}).get("name") == "python3":
        about["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    if "name" in about.get("language_info", {}):
        about["language_info"] = {"name": about["language_info"]["name"]}
