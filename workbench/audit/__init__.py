"""Audit entries in either dialect: the questions of guide §5.2, the entries that §5.1 demands, and a digest of our own."""
