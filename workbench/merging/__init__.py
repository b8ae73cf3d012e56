"""Merge records that are one and the same (guide §4.4): every reference moves, nothing is lost, nothing is hidden."""
