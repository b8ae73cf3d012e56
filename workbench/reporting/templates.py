"""The report notebooks and their parameters, checked before anything runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from workbench.errors import UsageError, unknown

_PACKAGE = Path(__file__).resolve().parents[1]
_ROOTS = (_PACKAGE.parent / "notebooks", _PACKAGE / "notebooks")
FOLDERS = tuple(folder for root in (*_ROOTS, Path("notebooks")) for folder in (root / "reports", root))
"""Where the notebooks lie, in a repository, in an installed wheel, and in the working folder: reports first."""

REQUIRED = "required"
"""How the comment of a parameter begins that has to be given."""

_KINDS: dict[str, tuple[type, str]] = {
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "bool": (bool, "true or false"),
    "list": (list, "a list"),
}


class Parameter(NamedTuple):
    """One parameter of a report notebook, as its tagged cell declares it.

    Attributes
    ----------
    name, kind : str
        The kind is ``str``, ``int``, ``float``, ``bool`` or ``list``.
    default : str
        As it is written there.
    purpose : str
        The comment beside it.
    """

    name: str
    kind: str
    default: str
    purpose: str


def notebooks_folder() -> Path:
    """Return the folder of all the notebooks, the reports' own among them."""
    return next(root for root in _ROOTS if root.is_dir())


def report_names() -> list[str]:
    """List the reports there are, investigations among them."""
    return sorted(_templates())


def report_template(name: str) -> Path:
    """Return a report's notebook; an unknown name is a `UsageError` with the nearest ones."""
    known = _templates()
    if name in known:  # a name with a path in it is none of these
        return known[name]
    raise unknown("report", name, known)


def _templates() -> dict[str, Path]:
    """Find every notebook that declares parameters, by its name without the number that orders it."""
    found: dict[str, Path] = {}
    for path in (path for folder in FOLDERS for path in sorted(folder.glob("*.ipynb"))):
        name = re.sub(r"^\d+[-_]", "", path.stem)
        if name not in found and _declares_parameters(path):
            found[name] = path
    return found


def _declares_parameters(path: Path) -> bool:
    """Tell whether a notebook can be run as a report; one that is only for exploring declares none."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return any("parameters" in cell["metadata"].get("tags", []) for cell in cells)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # a person's own notebook, half written


@cache
def _inspected(path: Path) -> dict[str, Any]:
    from papermill import inspect_notebook  # slow to import, and not for listing names

    found: dict[str, Any] = inspect_notebook(path)
    return found


def report_parameters(name: str) -> dict[str, Parameter]:
    """Return the parameters a report takes, by name."""
    return {
        each["name"]: Parameter(
            each["name"], each["inferred_type_name"], each["default"].strip(), each["help"].strip()
        )
        for each in _inspected(report_template(name)).values()
    }


def checked_parameters(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check parameters against what the report declares, and convert those that came as text.

    Raises
    ------
    UsageError
        For a parameter it does not take (with the nearest), one of another type, or a required
        one that is missing.
    """
    declared = report_parameters(name)
    for key in given:
        if key not in declared:
            raise unknown(f"parameter of report {name!r} called", key, declared)
    values = {key: _converted(declared[key], value) for key, value in given.items()}
    for each in declared.values():
        if each.purpose.startswith(REQUIRED) and not values.get(each.name):
            raise UsageError(
                f"Report {name!r} needs the parameter {each.name}.",
                f"{each.purpose.removeprefix(REQUIRED).strip(' :').capitalize()}",
            )
    return values


def _converted(parameter: Parameter, value: Any) -> Any:
    if parameter.kind not in _KINDS:
        return value
    if parameter.default == "None" and (value is None or str(value).lower() in {"", "none"}):
        return None
    kind, spoken = _KINDS[parameter.kind]
    is_text = isinstance(value, str)
    try:
        if is_text and kind is int:
            value = re.sub(r",(?=\d{3})", "", value)
        elif is_text and kind is list:
            split = [part.strip() for part in value.split(",") if part.strip()]
            value = json.loads(value) if value.lstrip().startswith("[") else split
        elif isinstance(value, tuple):
            value = list(value)
        return TypeAdapter(kind).validate_python(value, strict=not is_text)
    except (ValueError, ValidationError):
        raise UsageError(
            f"The parameter {parameter.name} must be {spoken}, not {value!r}.",
            'Lists are written a,b or ["a", "b"].' if kind is list else "",
        ) from None
