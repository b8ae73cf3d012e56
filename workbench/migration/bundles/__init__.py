"""Bundles: an import's inputs and outputs, sealed by SHA-256 (guide §2.3).

A bundle is a folder: ``bundle.json`` lists every file in it with its role, size and digest, ``bundle.sha256`` is in
the format of ``sha256sum``. The digest of ``bundle.json`` is the bundle's digest: whoever knows it knows the bundle.
"""

from workbench.migration.bundles.holding import (
    NewestFirst,
    bundles_holding,
    find_bundle,
    list_bundles,
    sealed_in,
)
from workbench.migration.bundles.manifest import Bundle, BundleManifest, SealedFile, SealedRun, read_bundle
from workbench.migration.bundles.sealing import SealRequest, seal
from workbench.migration.bundles.verifying import Discrepancy, verify_bundle

__all__ = [
    "Bundle",
    "BundleManifest",
    "Discrepancy",
    "NewestFirst",
    "SealRequest",
    "SealedFile",
    "SealedRun",
    "bundles_holding",
    "find_bundle",
    "list_bundles",
    "read_bundle",
    "seal",
    "sealed_in",
    "verify_bundle",
]
