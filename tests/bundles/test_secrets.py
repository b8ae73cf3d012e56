"""No URL with a password is sealed unnoticed; nothing else is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bundles.conftest import Seal
from workbench.errors import Refused
from workbench.migration.bundles import verify_bundle

SECRETS = (
    "DATABASE_URL=postgres://club:hunter2@db.example.org/club",
    "  url: 'postgresql://club:hunter2%40x@db.example.org:5432/club?schema=public'",
    "see https://club:hunter2@example.org/x",
    "DATABASE_URL=postgres://club:hunter2à…@db.example.org/club",
)
HARMLESS = (
    "url_env: DATABASE_URL",
    "url: postgres://***@db.example.org/club",
    "url: postgres://club@db.example.org/club",
    "http://localhost:3000/api",
    "Speakeasy. Password: swordfish",
)


@pytest.mark.parametrize("line", SECRETS)
def test_a_password_is_refused_and_never_repeated(line: str, imported: Path, sealed: Seal) -> None:
    (imported / "club.yaml").write_text(f"a: 1\n{line}\nb: 2\n")
    with pytest.raises(Refused, match=r"club\.yaml, line 2") as caught:
        sealed(imported)
    assert "hunter" not in str(caught.value)
    assert caught.value.exit_code == 3
    assert list((imported.parent / "backups").iterdir()) == []


@pytest.mark.parametrize("line", SECRETS)
def test_a_copy_without_it_can_be_sealed(line: str, imported: Path, sealed: Seal) -> None:
    (imported / "club.yaml").write_bytes(f"a: 1\r\n{line}\nb: é".encode() + b"\xff")
    made = sealed(imported, redacting=True)
    copy = (made.folder / "data" / "club.yaml").read_bytes()
    assert b"hunter" not in copy
    assert b"***" in copy
    assert copy.startswith(b"a: 1\r\n")
    assert copy.endswith("\nb: é".encode() + b"\xff")
    (entry,) = [each for each in made.files if each.secrets == "redacted"]
    assert made.notes == (f"{entry.path} was sealed without the passwords in its URLs",)
    assert verify_bundle(made.folder) == []


@pytest.mark.parametrize("line", HARMLESS)
def test_what_is_none_is_let_through(line: str, imported: Path, sealed: Seal) -> None:
    (imported / "club.yaml").write_text(f"{line}\n")
    assert {each.secrets for each in sealed(imported).files} == {"none found"}


def test_what_nobody_can_look_into_is_said(imported: Path, sealed: Seal) -> None:
    (imported / "exports" / "members.xlsx").write_bytes(b"PK\x03\x04\0\0password=hunter2")
    (note,) = sealed(imported).notes
    assert note == "data/exports/members.xlsx is no text: nobody looked for passwords in it"


def test_the_line_is_right_far_into_a_large_file(imported: Path, sealed: Seal) -> None:
    line = b"postgres://club:hunter2@db/club\n"
    (imported / "large.log").write_bytes(b"a line that says nothing\n" * 100_000 + line)
    with pytest.raises(Refused, match="line 100001"):
        sealed(imported)
