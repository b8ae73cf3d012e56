"""Duplicates (guide §1.4, §4.4): members, events and registrations that are there more than once, and their merging."""
