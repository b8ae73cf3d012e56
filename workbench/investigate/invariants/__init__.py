"""What must hold of an import's own files, whatever the database says (guide §2.3, §2.4).

Each invariant looks at the reports, id maps and exports as they were written, and at nothing else.
"""

from workbench.investigate.invariants.checking import (
    INVARIANTS,
    Invariant,
    Outcome,
    check_invariants,
    outcomes_frame,
    violations_frame,
)
from workbench.investigate.invariants.documents import Document, Evidence, read_documents

__all__ = [
    "INVARIANTS",
    "Document",
    "Evidence",
    "Invariant",
    "Outcome",
    "check_invariants",
    "outcomes_frame",
    "read_documents",
    "violations_frame",
]
