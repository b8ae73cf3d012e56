"""A snapshot against the database, or two snapshots: what differs, row by row, and who did it."""
