"""Before an import: dry runs, the checklist, and bundles of what an import read and wrote (guide §2, §6)."""
