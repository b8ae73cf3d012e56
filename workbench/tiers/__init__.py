"""Membership tiers and statuses, compared with members' levels and corrected (guide §1.3, §4.3)."""
