"""What people click on: pick, preview, approve, apply and undo, in JupyterLab or as a page.

A panel holds no query and no rule of its own. It calls what the workbench offers to everybody, and shows what
comes back, errors included, in place and in words. Where there is no browser it leaves a static table.
"""

from workbench.panels.corrections import RunPicker, TierCorrection
from workbench.panels.duplicates import DuplicateReview
from workbench.panels.mappings import MappingCorrection
from workbench.panels.pages import Pages
from workbench.panels.panel import opened
from workbench.panels.plans import PlanReview
from workbench.panels.preflight import PreflightPanel

__all__ = [
    "DuplicateReview",
    "MappingCorrection",
    "Pages",
    "PlanReview",
    "PreflightPanel",
    "RunPicker",
    "TierCorrection",
    "opened",
]
