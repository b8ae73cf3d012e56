"""Probabilistic duplicates: members who are probably one person, with the evidence in bits and words."""

from __future__ import annotations

from workbench.investigate.matching.clusters import cluster_pairs
from workbench.investigate.matching.matching import match_members
from workbench.investigate.matching.model import DEFAULT_THRESHOLD, OFFER_THRESHOLD, Model

__all__ = ["DEFAULT_THRESHOLD", "OFFER_THRESHOLD", "Model", "cluster_pairs", "match_members"]
