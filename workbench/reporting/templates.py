"""The report notebooks, and the validation of their parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from workbench.errors import UsageError, unknown

_PACKAGE = Path(__file__).resolve().parents[1]
_ROOTS = (_PACKAGE.parent / "notebooks", _PACKAGE / "notebooks")
FOLDERS = tuple(folder for root in (*_ROOTS, Path("notebooks")) for folder in (root / "reports", root))
"""The folders with notebooks: of the repository, of an installed package, and of the working directory."""

_REQUIRED = "required: "  # the comment of a required parameter starts with this
_KINDS: dict[str, tuple[Any, str]] = {
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "bool": (bool, "true or false"),
    "list": (list, 'a list, as a,b or ["a", "b"]'),
}


def notebooks_folder() -> Path:
    """Return the folder of the notebooks that come with the workbench."""
    return next(root for root in _ROOTS if root.is_dir())


def report_names() -> list[str]:
    """List the reports: every notebook that declares parameters."""
    return sorted(_templates())


def report_template(name: str) -> Path:
    """Return a report's notebook; `UsageError` for an unknown name."""
    templates = _templates()
    if name not in templates:
        raise unknown("report", name, templates)
    return templates[name]


def _templates() -> dict[str, Path]:
    """Find the notebooks that declare parameters; the leading number is not part of the name."""
    templates: dict[str, Path] = {}
    for path in (path for folder in FOLDERS for path in sorted(folder.glob("*.ipynb"))):
        name = re.sub(r"^\d+[-_]", "", path.stem)
        if name not in templates and _declares_parameters(path):
            templates[name] = path
    return templates


def _declares_parameters(path: Path) -> bool:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return any("parameters" in cell["metadata"].get("tags", []) for cell in cells)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # not a valid notebook


@cache
def _inspect(path: Path) -> dict[str, dict[str, str]]:
    from papermill import inspect_notebook  # slow to import

    parameters: dict[str, dict[str, str]] = inspect_notebook(path)
    return parameters


def report_parameters(name: str) -> dict[str, dict[str, str]]:
    """Return the parameters of a report, as papermill reads them from its tagged cell."""
    return _inspect(report_template(name))


def checked_parameters(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Validate parameters, and convert those given as text.

    Raises
    ------
    UsageError
        For an unknown parameter, a wrong type, or a required one that is missing.
    """
    declared = report_parameters(name)
    for key in given:
        if key not in declared:
            raise unknown(f"parameter of report {name!r} called", key, declared)
    values = {key: _convert(declared[key], value) for key, value in given.items()}
    for key, parameter in declared.items():
        if parameter["help"].startswith(_REQUIRED) and not values.get(key):
            hint = parameter["help"].removeprefix(_REQUIRED)
            raise UsageError(f"Report {name!r} needs the parameter {key}.", hint[:1].upper() + hint[1:])
    return values


def _convert(parameter: Mapping[str, str], value: Any) -> Any:
    kind, description = _KINDS[parameter["inferred_type_name"]]
    if parameter["default"] == "None" and (value is None or str(value).lower() in {"", "none"}):
        return None
    is_text = isinstance(value, str)
    try:
        if is_text and kind is int:
            value = re.sub(r",(?=\d{3})", "", value)
        elif is_text and kind is list:
            parts = [part.strip() for part in value.split(",") if part.strip()]
            value = json.loads(value) if value.lstrip().startswith("[") else parts
        return TypeAdapter(kind).validate_python(value, strict=not is_text and not isinstance(value, tuple))
    except (ValueError, ValidationError):
        raise UsageError(f"The parameter {parameter['name']} must be {description}, not {value!r}.") from None
