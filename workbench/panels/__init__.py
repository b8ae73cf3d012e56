"""What people click on: pick, preview, approve, apply and undo, in JupyterLab or as a page.

A panel holds no query and no rule of its own. It calls what the workbench offers to everybody, and shows what
comes back, errors included, in place and in words. Where there is no browser it leaves a static table.
"""

from importlib import import_module
from typing import Any

PAGES = {
    "runs": ("Runs", "RunPicker"),
    "plans": ("Plans", "PlanReview"),
    "mappings": ("Mappings", "MappingCorrection"),
    "tiers": ("Tiers", "TierCorrection"),
    "duplicates": ("Duplicates", "DuplicateReview"),
    "preflight": ("Before an import", "PreflightPanel"),
}
"""Each page's name in the address, its title, and the panel on it."""

_MODULES = {
    "DuplicateReview": "duplicates",
    "MappingCorrection": "mappings",
    "Pages": "pages",
    "PlanReview": "plans",
    "PreflightPanel": "preflight",
    "RunPicker": "corrections",
    "TierCorrection": "corrections",
    "opened": "panel",
}

__all__ = [*_MODULES, "PAGES"]


def __getattr__(name: str) -> Any:
    """Import a panel when it is asked for: whoever serves pages shows none itself."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"workbench.panels.{_MODULES[name]}"), name)
