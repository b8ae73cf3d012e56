"""Membership tiers: who is in which, who should be, and what changed since (guide §1.3, §4.3)."""
