"""Probabilistic duplicates: members who are probably one person, with the evidence in bits and words."""

from __future__ import annotations

from workbench.duplicates.matching.matching import cluster_pairs, evidence, match_members
from workbench.duplicates.matching.model import DEFAULT_THRESHOLD, OFFER_THRESHOLD, Model

__all__ = ["DEFAULT_THRESHOLD", "OFFER_THRESHOLD", "Model", "cluster_pairs", "evidence", "match_members"]
