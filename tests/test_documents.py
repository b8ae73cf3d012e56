"""Documents of every kind: written whole, read as they were or not at all, found by name, approved by their bytes."""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from workbench.documents import (
    Approvable,
    Approval,
    Document,
    Store,
    Target,
    approval_path,
    approve,
    find_approval,
    refuse_other_target,
    valid_approval,
    write_whole,
)
from workbench.errors import DocumentError, NotApproved, Refused, UsageError, WorkbenchError, WrongEnvironment
from workbench.migration.bundles import Bundle
from workbench.migration.dry_runs import DryRun
from workbench.plans.plan import Plan
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.restore.request import Record, Request

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
TARGET = Target("7", "club", "public", "demo", "demo")
REQUEST = Request(
    target=TARGET, planned_by="dana", way="swap", snapshot="backup_20260101_090000", file="b.dump", oid=5
)
PLAN = Plan(target=TARGET, planned_by="dana", kind="rollback", parameters={"run": "r"}, reasons=("Becäuse.",))
KINDS: tuple[Document, ...] = (
    REQUEST,
    PLAN,
    Approval(number=str(uuid4()), approves="ab", approver="erin", approved_at=NOON, expires_at=NOON),
    Record(request="restore-1", approval="1", approved_by="erin", operator="dana", live="club", environment="demo"),
    Manifest(
        compression="zstd", sha256="ab", size=1, tool_version="18", server_version="18", target=TARGET,
        created_at=NOON, created_by="dana", precedes=None, reason=None, tables={},
    ),
    DryRun(
        name="dry_run_1", command=("true",), environment="demo", kind="demo", operator="dana", started_at=NOON,
    ),
    Bundle(
        bundle="b", run="r", environment=None, sealed_by="dana", sealed_at=NOON, runs={},
        files=(),
    ),
)  # fmt: skip
every_kind = pytest.mark.parametrize("document", KINDS, ids=lambda document: document.noun)


def facts_of(document: Document) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(document.content())
    return facts


@every_kind
def test_the_same_facts_give_the_same_bytes_and_these_the_facts(document: Document, tmp_path: Path) -> None:
    written = document.write(tmp_path / f"some{document.suffix}")
    content = written.path.read_bytes()
    assert content == document.content() == type(document).parse(content, tmp_path).content()
    assert written.digest == hashlib.sha256(content).hexdigest()
    read = type(document).parse(content, tmp_path)
    assert read.model_dump(exclude={"seal"}) == document.model_dump(exclude={"seal"})
    assert [path.name for path in written.path.parent.iterdir()] == [written.path.name]


Damage = Callable[[Document], bytes]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "empty": (lambda document: b"", "is empty"),
    "binary": (lambda document: b"PK\x03\x04\xff\xfe\x00", "is no "),
    "a list": (lambda document: b"[1, 2]\n", "is no "),
    "deep": (lambda document: b"[" * 100_000, "is no "),
    "something else": (lambda document: b'{"success": true, "runId": "sync_1"}\n', "is no "),
    "another kind": (lambda document: document.content().replace(b"workbench_", b"workbench_an"), "is no "),
    "another version": (
        lambda document: json.dumps({name: 99 if name.startswith("workbench_") else fact
                                     for name, fact in facts_of(document).items()}).encode(),
        "is of version 99",
    ),
    "a field more": (lambda document: json.dumps(facts_of(document) | {"forced": True}).encode(), "is damaged"),
}  # fmt: skip


@every_kind
@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_never_taken_for_one(
    document: Document, damage: Damage, said: str, tmp_path: Path
) -> None:
    path = tmp_path / f"some{document.suffix.replace('/', '')}"
    path.write_bytes(damage(document))
    with pytest.raises(DocumentError, match=said) as caught:
        type(document).read(path)
    assert caught.value.exit_code == 2
    assert path.name in caught.value.what
    assert caught.value.next_step


@every_kind
def test_one_that_is_cut_short_lacks_a_field_or_has_another_type_is_damaged(
    document: Document, tmp_path: Path
) -> None:
    whole, facts = document.content(), facts_of(document)
    spoilt = [whole[:length] for length in range(1, len(whole) - 1, 7)]
    for name, field in type(document).model_fields.items():
        spoilt.append(json.dumps(facts | {name: 12.5}).encode())
        if field.is_required():
            spoilt.append(json.dumps({fact: facts[fact] for fact in facts if fact != name}).encode())
    for content in spoilt:
        with pytest.raises(DocumentError):
            type(document).parse(content, tmp_path / "some")


@every_kind
def test_what_cannot_be_opened_is_said_plainly(document: Document, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"No such file|there is no|link, or no file"):
        type(document).read(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DocumentError, match=r"directory|no file"):
        type(document).read(tmp_path / "folder")


@pytest.mark.parametrize(
    "spoilt",
    [
        {"approver": None},
        {"approver": "  "},
        {"expires_at": "never"},
        {"expires_at": 99999999999},
        {"approved_at": "2999-01-01T00:00:00", "expires_at": "2999-01-01T00:00:00"},
        {"number": "1; DROP TABLE"},
    ],
    ids=str,
)
def test_a_damaged_approval_is_none(spoilt: dict[str, Any], tmp_path: Path) -> None:
    request = Store(tmp_path, Request).write(REQUEST)
    approval = approve(request, request.digest, by="erin")
    approval.path.write_text(json.dumps(facts_of(approval) | spoilt))
    for ask in (find_approval, valid_approval):
        with pytest.raises(NotApproved, match="approval") as caught:
            ask(request)
        assert caught.value.exit_code == 3


def test_a_store_finds_by_path_name_and_unambiguous_beginning(tmp_path: Path) -> None:
    store = Store(tmp_path, Request)
    one, other = (store.write(REQUEST.model_copy(update={"oid": oid})) for oid in (1, 2))
    assert one.path == store.path(one.id) == tmp_path / f"restore-{one.digest[:12]}.request"
    for name in (one.id, one.id[:14], str(one.path)):
        assert store.find(name) == one
    for name in ("", "restore-", "*", "../plans", one.id[:-2] + "zz"):
        with pytest.raises(UsageError) as caught:
            store.find(name)
        assert caught.value.exit_code == 2
    assert one.id in caught.value.next_step
    assert [document for _, document in store.scan()] == sorted(
        (one, other), key=lambda document: document.id
    )
    assert store.write(REQUEST.model_copy(update={"oid": 1})) == one


def test_an_edited_file_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    store = Store(tmp_path, Request)
    request = store.write(REQUEST)
    request.path.write_bytes(request.content().replace(b'"oid": 5', b'"oid": 6'))
    for name in (request.id, str(request.path)):
        with pytest.raises(Refused, match=request.path.name) as caught:
            store.find(name)
        assert caught.value.exit_code == 3
    [(path, error)] = store.scan()
    assert path == request.path
    assert isinstance(error, Refused)


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "some.request"
    write_whole(path, b"as it was")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(WorkbenchError, match="could not be written") as caught:
            write_whole(path, b"x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.exit_code == 4
    assert path.read_bytes() == b"as it was"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(WorkbenchError, match="could not be written"):
        write_whole(path / "below a file", b"")


def test_of_many_who_write_at_once_one_is_kept_whole(tmp_path: Path) -> None:
    contents = [letter * 200_000 for letter in (b"a", b"b", b"c", b"d")]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda content: write_whole(tmp_path / "some", content), contents * 5))
    assert (tmp_path / "some").read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["some"]


LIVE = Target("7", "club", "public", "live", "production")
approvable = pytest.mark.parametrize("document", [REQUEST, PLAN], ids=["request", "plan"])


@approvable
def test_consent_is_to_one_digest_by_a_name_and_for_a_time(document: Approvable, tmp_path: Path) -> None:
    written = document.write(tmp_path / f"some{document.suffix}")
    with pytest.raises(NotApproved, match="Nobody has approved"):
        valid_approval(written)
    for wrong in ("", written.digest[:12], written.digest[::-1], f"{written.digest}0"):
        with pytest.raises(Refused, match="digest"):
            approve(written, wrong, by="erin")
    with pytest.raises(Refused, match="needs a name"):
        approve(written, written.digest, by=" \t")
    assert not approval_path(written.path).exists()
    for spelling in (written.digest.upper(), f"sha256:{written.digest}", f" {written.digest}\n"):
        approval = approve(written, spelling, by="erin", hours=2)
        assert valid_approval(written) == approval
    assert (approval.approves, approval.approver) == (written.digest, "erin")
    assert approval.expires_at - approval.approved_at == timedelta(hours=2)
    with pytest.raises(NotApproved, match="is not for this"):
        valid_approval(written.at(written.path, "0" * 64))
    approve(written, written.digest, by="erin", hours=1e-9)
    with pytest.raises(NotApproved, match="expired at"):
        valid_approval(written)


@approvable
def test_on_production_another_person_approves_and_types_the_name(
    document: Approvable, tmp_path: Path
) -> None:
    written = document.model_copy(update={"target": LIVE}).write(tmp_path / f"some{document.suffix}")
    for dana in ("dana", "Dana", " DANA "):
        with pytest.raises(Refused, match="cannot approve it for production"):
            approve(written, written.digest, by=dana, confirm="live")
    for typed in (None, "", "Live", "production", "live "):
        with pytest.raises(Refused, match="name: live"):
            approve(written, written.digest, by="erin", confirm=typed)
    approval = approve(written, written.digest, by="erin", confirm="live")
    approval.path.write_text(json.dumps(facts_of(approval) | {"approver": " Dana"}))
    with pytest.raises(NotApproved, match="cannot approve it for production"):
        valid_approval(written)


@pytest.mark.parametrize(
    "other",
    [{"system_identifier": "8"}, {"database": "other"}, {"schema": "app"}, {"environment": "live"}, {"kind": "production"}],
    ids=str,
)  # fmt: skip
def test_one_for_another_database_is_refused(other: dict[str, str]) -> None:
    refuse_other_target(REQUEST, TARGET)
    with pytest.raises(WrongEnvironment, match=REQUEST.id) as caught:
        refuse_other_target(REQUEST, replace(TARGET, **other))
    assert caught.value.next_step
