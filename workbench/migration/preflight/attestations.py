"""What people vouch for before a migration, each by name: kept in a file beside the reports, and only for this migration."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from workbench.errors import AttestationsError, UsageError
from workbench.settings import Settings
from workbench.statements import add_statement, read_statements

WHAT = "preflight attestations"
LONGEST = 500
Kind = Literal["attested", "waived", "withdrawn"]


@dataclass(frozen=True)
class Attestation:
    """One person's word on one item of the checklist.

    Attributes
    ----------
    item : str
        Which, such as ``window``.
    kind : {"attested", "waived", "withdrawn"}
        ``waived``: it is accepted that the item is open. ``withdrawn``: what was said before holds no more.
    says : str
        What is vouched for, or why it is waived, without personal data.
    by : str
        Who says so.
    at : datetime
        When (UTC).
    about : str
        The digest of what it is about, such as the configuration's; it does not hold for another. Else empty.
    """

    item: str
    kind: str
    says: str
    by: str
    at: datetime
    about: str = ""


def preflight_file(settings: Settings, environment: str) -> Path:
    """Return where the attestations for an environment are kept."""
    return settings.reports / f"preflight-{quote(environment, safe='')}.jsonl"


def attestations_of(path: Path) -> list[Attestation]:
    """Read every attestation, in the order they were made; none when there is no file yet.

    Raises
    ------
    AttestationsError
        When the file cannot be read, or a line is broken; it names the line.
    """
    return read_statements(path, WHAT, _attestation, AttestationsError)


def attest(path: Path, item: str, kind: Kind, says: str, *, by: str, about: str = "") -> Attestation:
    """Keep a person's word.

    Raises
    ------
    UsageError
        For nobody's name, nothing said, too much said, or somebody's address in it.
    AttestationsError
        When the file is broken: nothing is added to it.
    """
    if not by.strip():
        raise UsageError("An attestation needs a name.", "Give it with --as NAME.")
    if not says.strip() and kind != "withdrawn":
        raise UsageError(
            f"Nothing is said of {item!r}.",
            "Say what you vouch for." if kind == "attested" else "A waiver needs a reason.",
        )
    if len(says) > LONGEST:
        raise UsageError(
            f"What is said has {len(says):,} characters; {LONGEST} are kept.", "Make it shorter."
        )
    if re.search(r"\S@\S", says):
        raise UsageError(
            "What is said holds an e-mail address, and attestations hold none.", "Say it without."
        )
    made = Attestation(item, kind, says.strip(), by.strip(), datetime.now(UTC).replace(microsecond=0), about)
    add_statement(path, WHAT, asdict(made), lambda: attestations_of(path))
    return made


def _attestation(facts: Any) -> Attestation:
    found = Attestation(**{**facts, "at": datetime.fromisoformat(facts["at"])})
    words = [getattr(found, each.name) for each in fields(Attestation) if each.name != "at"]
    if not all(isinstance(word, str) for word in words) or found.at.tzinfo is None:
        raise ValueError("a value of another kind")
    if found.kind not in ("attested", "waived", "withdrawn") or not found.by:
        raise ValueError("a word that is none")
    return found
