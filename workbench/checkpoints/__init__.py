"""Checkpoints: snapshots of the database, and what can be read from them."""
