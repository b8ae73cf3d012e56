"""Membership tiers and statuses: the correction of those who have another than their level's (guide §4.3)."""
