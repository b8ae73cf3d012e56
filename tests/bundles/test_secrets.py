"""No password, key or token is sealed unnoticed; what only looks like one is let through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bundles.conftest import Seal
from workbench.errors import SecretFound
from workbench.migration.bundles import verify_bundle
from workbench.migration.bundles.secrets import find_secrets

SECRETS = (
    "DATABASE_URL=postgres://club:hunter2@db.example.org/club",
    "  url: 'postgresql://club:hunter2%40x@db.example.org:5432/club?schema=public'",
    "WA_API_KEY=hunter2hunter2",
    "api_key: hunter2hunter2",
    '{"mode": "x", "apiKey":"hunter2", "y": 1}',
    "client-secret = 'hunter 2'",
    "password: hunter2",
    "Authorization: Bearer hunter2",
    "export WA_CLIENT_SECRET=hunter2",
    "db.password=hunter2",
    "passphrase: hunter2",
    "private-key = hunter2",
    "aws_access_key: hunter2",
    "wa.credentials=hunter2",
    "PWD: hunter2",
    "note: ghp_hunter2hunter2hunter2hunter2hunter2hunter2",
)
HARMLESS = (
    "membership_status_mapping:",
    "url_env: DATABASE_URL",
    "app_token_env = 'APP_TOKEN'",
    "password: ${DB_PASSWORD}",
    "password: $DB_PASSWORD",
    "password: ''",
    "password: null",
    "DATABASE_URL=postgres://club:***@db.example.org/club",
    "url: postgres://club@db.example.org/club",
    "url: http://localhost:3000/api/@me",
    "max_tokens: 100",
    "token_file: /run/secrets/wa",
    "apiKey: process.env.WA_API_KEY",
    "secretary: Rosa",
)


@pytest.mark.parametrize("line", SECRETS)
def test_a_secret_is_refused_and_never_repeated(line: str, imported: Path, sealed: Seal) -> None:
    (imported / "club.yaml").write_text(f"a: 1\n{line}\nb: 2\n")
    with pytest.raises(SecretFound, match=r"club\.yaml, line 2") as caught:
        sealed(imported)
    assert "hunter" not in str(caught.value)
    assert caught.value.exit_code == 3
    assert not (imported.parent / "backups").exists()


@pytest.mark.parametrize("line", SECRETS)
def test_a_copy_without_it_can_be_sealed(line: str, imported: Path, sealed: Seal) -> None:
    (imported / "club.yaml").write_text(f"a: 1\n{line}\nb: 2")
    made = sealed(imported, redact=True)
    copy = made.folder / "configuration" / "club.yaml"
    assert "hunter" not in copy.read_text()
    assert "***" in copy.read_text()
    assert copy.read_text().startswith("a: 1\n")
    assert copy.read_text().endswith("\nb: 2")
    (entry,) = [each for each in made.manifest.files if each.secrets == "redacted"]
    assert entry.path == "configuration/club.yaml"
    assert made.manifest.notes == ("configuration/club.yaml was sealed without the secrets in it",)
    assert verify_bundle(made.folder) == []


@pytest.mark.parametrize("line", HARMLESS)
def test_what_is_none_is_let_through(line: str, imported: Path, sealed: Seal) -> None:
    (imported / "club.yaml").write_text(f"{line}\n")
    made = sealed(imported)
    assert {each.secrets for each in made.manifest.files} == {"none found"}


@pytest.mark.parametrize(
    "text",
    [
        "key: |\n  x\npassword: |\n  hunter2\n",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----\n",
    ],
)
def test_what_has_no_end_on_its_line_is_refused_even_then(text: str, imported: Path, sealed: Seal) -> None:
    (imported / "club.yaml").write_text(text)
    with pytest.raises(SecretFound, match="by hand"):
        sealed(imported, redact=True)


def test_an_events_password_is_the_clubs_own_business(imported: Path, sealed: Seal) -> None:
    (imported / "exports" / "wa-events-export.csv").write_text(
        'Event ID,Event name\nEVT001,"Speakeasy. Password: swordfish"\n'
    )
    assert {each.secrets for each in sealed(imported).manifest.files} == {"none found"}
    (imported / "exports" / "wa-events-export.csv").write_text(
        "Event ID,Event name\nEVT001,see https://club:hunter2@example.org/x\n"
    )
    with pytest.raises(SecretFound):
        sealed(imported)


def test_what_nobody_can_look_into_is_said(imported: Path, sealed: Seal) -> None:
    (imported / "exports" / "members.xlsx").write_bytes(b"PK\x03\x04\0\0password=hunter2")
    made = sealed(imported)
    assert made.manifest.notes == (
        "exports/exports/members.xlsx is no text: nobody looked for secrets in it",
    )


def test_the_line_is_right_far_into_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "large.log"
    path.write_bytes(b"a line that says nothing\n" * 100_000 + b"password: hunter2\n")
    assert [each.line for each in find_secrets(path, "log")] == [100_001]


def test_what_a_report_recorded_of_its_configuration(imported: Path, sealed: Seal) -> None:
    path = imported / "reports" / "migration-live-2026-11-22T17-18-39-363Z-full.json"
    content = json.loads(path.read_text())
    content["config"]["wa"] = [{"apiKey": "hunter2hunter2", "apiKeyEnv": "WA_KEY"}]
    path.write_text(json.dumps(content))
    for redact in (False, True):
        with pytest.raises(
            SecretFound, match=r"its configuration: a value under 'config\.wa\.apiKey'"
        ) as caught:
            sealed(imported, redact=redact)
        assert "hunter" not in str(caught.value)
