"""After a restore: everything done since the snapshot but the bad run's doing, put back by a plan (guide §3, level 2)."""
