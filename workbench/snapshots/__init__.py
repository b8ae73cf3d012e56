"""Snapshots: dumped on one consistent state, proved by restoring, compared with, kept as long as the guide says."""
