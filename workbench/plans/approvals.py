"""Approval: a named person's consent to one digest, for one use, for a limited time.

An approval is a file beside the plan, so that consenting needs no right to write to the database.
That it is used once is the journal's to enforce: it takes an approval's number only once, in the
transaction that changes the rows.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

from workbench.errors import NotApproved, Refused, WorkbenchError
from workbench.plans.plan import Target

PRODUCTION = "production"
_WORDS = ("number", "digest", "approver")


class _Header(Protocol):
    @property
    def target(self) -> Target: ...

    @property
    def planned_by(self) -> str: ...


class Consented(Protocol):
    """What a person can consent to: a file with a digest, made by somebody for one database.

    A plan is one, and so is the request to restore a snapshot.
    """

    @property
    def id(self) -> str:
        """Its short name."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def digest(self) -> str:
        """SHA-256 of its bytes."""

    @property
    def header(self) -> _Header:
        """For which database it is, and who made it."""


@dataclass(frozen=True)
class Approval:
    """One person's consent.

    Attributes
    ----------
    number : str
        A UUID; no two approvals share it.
    digest : str
        The SHA-256 of the plan file that was approved.
    approver : str
        Who consented.
    approved_at, expires_at : datetime
        From when to when it holds (UTC).
    """

    number: str
    digest: str
    approver: str
    approved_at: datetime
    expires_at: datetime


def approve_plan(
    plan: Consented,
    digest: str,
    *,
    approver: str,
    hours: float = 24.0,
    confirmed_environment: str | None = None,
) -> Approval:
    """Record a person's consent to a plan.

    Parameters
    ----------
    digest : str
        What the person read: the whole SHA-256, as ``sha256sum`` prints it.
    approver : str
        Who consents.
    hours : float
        How long it holds.
    confirmed_environment : str, optional
        On production, the environment's name, typed out.

    Raises
    ------
    Refused
        When the digest is another plan's, or production's rules are not met: the approver is not
        the planner, and the environment's name is typed out.
    """
    target = plan.header.target
    given = digest.strip().lower().removeprefix("sha256:")
    if given != plan.digest:
        raise Refused(
            f"The digest given is not that of plan {plan.id}: it has {plan.digest}.",
            f"Read the plan again (`workbench show {plan.id}`) and approve the digest of what you read.",
        )
    if not approver.strip():
        raise Refused("An approval needs a name.", "Give it with --as NAME.")
    if target.kind == PRODUCTION:
        if approver.strip().casefold() == plan.header.planned_by.strip().casefold():
            raise Refused(
                f"{approver} planned {plan.id} and cannot approve it for production as well.",
                "Ask a second person to read and approve it.",
            )
        if confirmed_environment != target.environment:
            raise Refused(
                f"Approving for production needs the environment's name typed out: {target.environment}.",
                f"Add --confirm {target.environment}",
            )
    now = datetime.now(UTC).replace(microsecond=0)
    approval = Approval(str(uuid4()), plan.digest, approver.strip(), now, now + timedelta(hours=hours))
    _write(approval_file(plan.path), approval)
    return approval


def find_approval(plan: Consented) -> Approval | None:
    """Return the approval recorded for a plan, expired or not; None when there is none."""
    path = approval_file(plan.path)
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        moments = {name: datetime.fromisoformat(facts[name]) for name in ("approved_at", "expires_at")}
        if set(facts) != {*_WORDS, *moments}:
            raise ValueError("a fact too many")
        if any(moment.tzinfo is None for moment in moments.values()):
            raise ValueError("a moment without a time zone")
        words = {name: str(UUID(facts["number"])) if name == "number" else facts[name] for name in _WORDS}
        if not all(isinstance(word, str) and word.strip() for word in words.values()):
            raise ValueError("a name that is missing")
        return Approval(
            words["number"], words["digest"], words["approver"], moments["approved_at"], moments["expires_at"]
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotApproved(
            f"The approval {path} cannot be read: {type(error).__name__}.", "Remove it and approve again."
        ) from None


def valid_approval(plan: Consented) -> Approval:
    """Return the approval that lets a plan be applied now.

    Raises
    ------
    NotApproved
        When there is none, it is for another digest, or it has expired.
    """
    approval = find_approval(plan)
    how = f"`workbench approve {plan.id} --digest {plan.digest}` after reading it."
    if approval is None:
        raise NotApproved(f"Nobody has approved plan {plan.id}.", how)
    if approval.digest != plan.digest:
        raise NotApproved(
            f"What {approval.approver} approved is not this plan: its digest is {plan.digest}, the approval's"
            f" {approval.digest}.",
            "The file was altered since. Plan again.",
        )
    if approval.expires_at <= datetime.now(UTC):
        raise NotApproved(
            f"{approval.approver}'s approval of plan {plan.id} expired at {approval.expires_at:%Y-%m-%d %H:%M} UTC.",
            how,
        )
    if plan.header.target.kind == PRODUCTION and (
        approval.approver.strip().casefold() == plan.header.planned_by.strip().casefold()
    ):
        raise NotApproved(
            f"{approval.approver} planned {plan.id}; for production another person approves.", how
        )
    return approval


def approval_file(path: Path) -> Path:
    """Return where the approval of a plan's or a request's file lies: beside it."""
    return path.with_name(f"{path.name}.approval.json")


def _write(path: Path, approval: Approval) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump(asdict(approval), file, default=datetime.isoformat, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise WorkbenchError(f"The approval could not be written to {path}: {error.strerror}.") from None
