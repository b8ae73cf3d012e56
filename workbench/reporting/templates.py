"""The report notebooks and their parameters, checked before anything runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from workbench.errors import UsageError, unknown

_PACKAGE = Path(__file__).resolve().parents[1]
_ROOTS = (_PACKAGE.parent / "notebooks", _PACKAGE / "notebooks")
FOLDERS = tuple(folder for root in _ROOTS for folder in (root / "reports", root))
"""Where the notebooks lie, in a repository and in an installed wheel: the reports, then the investigations."""

REQUIRED = "required"
"""How the comment of a parameter begins that has to be given."""

_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "list": (list,),
}
_SPOKEN = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
}
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Parameter:
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

    @property
    def optional(self) -> bool:
        """Whether it may be None."""
        return self.default == "None"


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
    for folder in FOLDERS:
        for path in sorted(folder.glob("*.ipynb")):
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
    from workbench.reporting.engine import inspect_notebook  # slow to import, and not for listing names

    found: dict[str, Any] = inspect_notebook(path)
    return found


def report_parameters(name: str) -> dict[str, Parameter]:
    """Return the parameters a report takes, by name."""
    found = _inspected(report_template(name))
    return {
        each["name"]: Parameter(
            each["name"], each["inferred_type_name"], each["default"].strip(), each["help"].strip()
        )
        for each in found.values()
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
    wanted = _KINDS.get(parameter.kind)
    if wanted is None:
        return value
    if parameter.optional and (value is None or (isinstance(value, str) and value.lower() in {"", "none"})):
        return None
    if isinstance(value, str):
        value = _from_text(parameter, value)
    elif isinstance(value, tuple):
        value = list(value)
    if isinstance(value, wanted) and (parameter.kind == "bool" or not isinstance(value, bool)):
        return value
    raise _wrong(parameter, value)


def _from_text(parameter: Parameter, text: str) -> Any:
    try:
        if parameter.kind == "int":
            return int(re.sub(r"(?<=\d)[,_](?=\d{3})", "", text))
        if parameter.kind == "float":
            return float(text)
        if parameter.kind == "bool":
            return _TRUTHS[text.strip().lower()]
        if parameter.kind == "list":
            return (
                json.loads(text)
                if text.lstrip().startswith("[")
                else [each.strip() for each in text.split(",") if each.strip()]
            )
    except (ValueError, KeyError):
        raise _wrong(parameter, text) from None
    return text


def _wrong(parameter: Parameter, value: Any) -> UsageError:
    return UsageError(
        f"The parameter {parameter.name} must be {_SPOKEN[parameter.kind]}, not {value!r}.",
        'Lists are written a,b or ["a", "b"].' if parameter.kind == "list" else "",
    )
