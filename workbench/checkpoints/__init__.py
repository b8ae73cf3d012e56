"""The restore of a snapshot (guide §3, level 2)."""
