"""What people click on: pick, preview, approve, apply and undo, in JupyterLab or as a page.

A panel holds no query and no rule of its own. It calls what the workbench offers to everybody, and shows what
comes back, errors included, in place and in words. Where there is no browser it leaves a static table.
"""

from importlib import import_module
from typing import Any

PAGES = {
    "runs": ("Runs", "corrections.RunPicker"),
    "plans": ("Plans", "plans.PlanReview"),
    "mappings": ("Mappings", "corrections.MappingCorrection"),
    "tiers": ("Tiers", "corrections.TierCorrection"),
    "duplicates": ("Duplicates", "duplicates.DuplicateReview"),
    "preflight": ("Before an import", "preflight.PreflightPanel"),
}
"""Each page's name in the address, its title, and the panel on it."""


def panel_of(page: str) -> Any:
    """Return the class of a page's panel, imported when it is asked for: whoever serves pages shows none itself."""
    module, _, name = PAGES[page][1].partition(".")
    return getattr(import_module(f"workbench.panels.{module}"), name)
