"""The organisation's own rules: the corrections that they ask for (guide §1.5)."""
