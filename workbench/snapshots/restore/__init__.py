"""Level 2: a snapshot restored as one gated act that can be interrupted anywhere (guide §3)."""
