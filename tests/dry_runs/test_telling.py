"""No importer is started that would not be told, or that nothing shows to heed ``DRY_RUN``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from workbench.errors import Refused, UsageError
from workbench.migration.dry_runs import told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An importer's repository: one script heeds the variable itself, one through what it imports, one not at all."""
    scripts = tmp_path / "scripts"
    (scripts / "lib").mkdir(parents=True)
    (scripts / "sync.ts").write_text("const dry = process.env.DRY_RUN === '1'")
    (scripts / "full.ts").write_text("import { config } from './lib/config.js'\n")
    (scripts / "lib" / "config.ts").write_text("import './more'\n")
    (scripts / "lib" / "more.ts").write_text("export const dry = process.env.DRY_RUN\nimport './config'\n")
    (scripts / "deaf.ts").write_text("import './lib/nothing'\nconsole.log('DRY_RUNNING')")
    (scripts / "lib" / "nothing.ts").write_text("")
    (scripts / "importer.py").write_text("import settings\n")
    (scripts / "settings.py").write_text("import os\nos.environ['DRY_RUN']\n")
    script = tmp_path / "import"
    script.write_text('#!/bin/sh\n[ "$DRY_RUN" ] && exit\n')
    script.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ["env", "npx", "tsx", "scripts/sync.ts"],
        ["env", "npx", "tsx", "scripts/full.ts"],
        ["env", "NODE_ENV=x", "npx", "tsx", "scripts/sync.ts", "--verbose"],
        ["sh", "-c", "npx tsx scripts/sync.ts 2>&1"],
        ["sh", "-c", "DRY_RUN=1 npx tsx scripts/sync.ts"],
        [sys.executable, "scripts/importer.py"],
        ["./import", "docker", "--mode", "fast"],
        ["env", "node", "migrate.js", "--dry-run"],
        ["env", "npx", "tsx", "scripts/sync.ts", "--club", "sudo"],
        ["env", "docker", "run", "-e", "DRY_RUN", "image", "--dry-run"],
        ["env", "sudo", "DRY_RUN=1", "npx", "tsx", "scripts/sync.ts"],
        ["env", "ssh", "host", "DRY_RUN=1 npx tsx scripts/sync.ts --dry-run"],
    ],
    ids=" ".join,
)
def test_what_is_told_may_run(command: list[str], folder: Path) -> None:
    assert told(command, folder).by.startswith("DRY_RUN=1 in its environment")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["env", "DRY_RUN=0", "npx", "tsx", "scripts/sync.ts"], "says DRY_RUN=0"),
        (["env", "DRY_RUN=", "npx", "tsx", "scripts/sync.ts"], "says DRY_RUN="),
        (["sh", "-c", "DRY_RUN=false npx tsx scripts/sync.ts"], "says DRY_RUN=false"),
        (["sh", "-c", "unset DRY_RUN; npx tsx scripts/sync.ts"], "clears"),
        (["env", "-i", "npx", "tsx", "scripts/sync.ts"], "clears"),
        (["env", "-u", "DRY_RUN", "npx", "tsx", "scripts/sync.ts"], "clears"),
        (["env", "--unset=DRY_RUN", "npx", "tsx", "scripts/sync.ts"], "clears"),
        (["sh", "-c", "env -i npx tsx scripts/sync.ts"], "clears"),
        (["env", "npx", "tsx", "scripts/sync.ts", "--live"], "says --live"),
        (["env", "npx", "tsx", "scripts/sync.ts", "--dry-run=false"], "says --dry-run=false"),
        (["env", "npx", "tsx", "scripts/sync.ts", "--mode", "live"], "says --mode live"),
        (["env", "npx", "tsx", "scripts/sync.ts", "--no-dry-run"], "says --no-dry-run"),
        (["sudo", "npx", "tsx", "scripts/sync.ts"], "sudo does not pass"),
        (["nice", "-n", "10", "sudo", "npx", "tsx", "scripts/sync.ts"], "sudo does not pass"),
        (["/usr/bin/ssh", "host", "npx tsx scripts/sync.ts"], "ssh does not pass"),
        (["docker", "exec", "app", "npx", "tsx", "scripts/sync.ts", "--dry-run"], "docker does not pass"),
        (["sh", "-c", "cd scripts && sudo npx tsx sync.ts"], "sudo does not pass"),
        (["env", "npx", "tsx", "scripts/deaf.ts"], "deaf.ts and what it imports do not mention it"),
        (["env", "npm", "run", "import"], "no script of it is named"),
        (["env", "npx", "tsx", "scripts/gone.ts"], "no script of it is named"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_what_would_not_be_told_is_refused(command: list[str], says: str, folder: Path) -> None:
    with pytest.raises(Refused, match=says) as caught:
        told(command, folder)
    assert caught.value.exit_code == 3
    assert "Nothing was started" in caught.value.next_step


def test_the_operator_may_vouch_for_what_nobody_can_read_but_not_against_the_command(folder: Path) -> None:
    assert "vouches" in told(["env", "npm", "run", "import"], folder, vouched=True).by
    with pytest.raises(Refused):
        told(["env", "DRY_RUN=0", "npm", "run", "import"], folder, vouched=True)
    with pytest.raises(Refused):
        told(["sudo", "npm", "run", "import"], folder, vouched=True)


@pytest.mark.parametrize(
    "line",
    [
        "DRY_RUN=0 npx tsx scripts/sync.ts", "DRY_RUN= npx tsx x.ts", "unset DRY_RUN", "env -i npx tsx x.ts", "export DRY_RUN=false",
        "const DRY_RUN = false", "process.env.DRY_RUN = '0'", "os.environ['DRY_RUN'] = '0'", "delete process.env.DRY_RUN",
    ],
)  # fmt: skip
def test_a_script_that_takes_it_back(line: str, folder: Path) -> None:
    (folder / "scripts" / "wrapper.sh").write_text(f"# runs the importer\n{line}\n")
    with pytest.raises(Refused, match=r"wrapper\.sh, line 2, says"):
        told(["sh", "scripts/wrapper.sh"], folder)
    with pytest.raises(Refused, match=r"wrapper\.sh, line 2, says"):
        told(["sh", "scripts/wrapper.sh", "--dry-run"], folder)
    assert "vouches" in told(["sh", "scripts/wrapper.sh"], folder, vouched=True).by


@pytest.mark.parametrize(
    "line",
    [
        "if (process.env.DRY_RUN === '0')",
        "DRY_RUN=${DRY_RUN:-0}",
        "if os.environ['DRY_RUN'] == '0':",
        "DRY_RUN=1 npx tsx x.ts",
    ],
)
def test_a_script_that_only_asks(line: str, folder: Path) -> None:
    (folder / "scripts" / "wrapper.sh").write_text(f"{line}\n")
    assert "which wrapper.sh reads" in told(["sh", "scripts/wrapper.sh"], folder).by


def test_a_dotenv_that_says_otherwise(folder: Path) -> None:
    (folder / ".env").write_text("# DRY_RUN=0\nDRY_RUN=1\n")
    assert told(["env", "npx", "tsx", "scripts/sync.ts"], folder)
    (folder / ".env").write_text("A=1\nDRY_RUN=0\n")
    with pytest.raises(Refused, match=r"\.env sets DRY_RUN=0"):
        told(["env", "npx", "tsx", "scripts/sync.ts"], folder)


@pytest.mark.parametrize("command", [[], [""], ["no-such-program"], ["./no-such-program"]])
def test_no_program(command: list[str], folder: Path) -> None:
    with pytest.raises(UsageError):
        told(command, folder)


@pytest.fixture
def package(folder: Path) -> Path:
    """The same with a package.json, and a CSV importer that is dry unless an argument makes it live."""
    scripts = {
        "migrate:dry-run": "npx tsx scripts/migrate.ts --verbose",
        "migrate:live": "npx tsx scripts/migrate.ts --live --verbose",
        "migrate:checked": "npm run lint && npm run migrate:dry-run",
        "pretold": "unset DRY_RUN",
        "told": "npx tsx scripts/sync.ts",
        "off": "DRY_RUN=0 npx tsx scripts/sync.ts",
        "sync": "npx tsx scripts/sync.ts",
        "round": "npm run round",
    }
    (folder / "package.json").write_text(json.dumps({"scripts": scripts}))
    (folder / "scripts" / "migrate.ts").write_text(
        "interface Args { dryRun: boolean }\n// dryRun: false\nconst args = { dryRun: true, yes: false }\n"
        "if (process.argv.includes('--live')) args.dryRun = false\n"
    )
    (folder / "scripts" / "yes.ts").write_text("const dryRun = !process.argv.includes('--yes')\n")
    (folder / "scripts" / "hot.ts").write_text(
        "let dryRun = false\nif (process.argv.includes('--dry-run')) dryRun = true\n"
    )
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "npm run migrate:dry-run",
        "npm run migrate:dry-run -- --data-dir wa",
        "npm --silent run migrate:checked",
        "yarn migrate:dry-run",
        "npx tsx scripts/migrate.ts",
        "npx --yes tsx scripts/migrate.ts --config c.yaml",
        "npx tsx scripts/yes.ts",
        "npm run sync",
    ],
)
def test_one_that_is_dry_by_itself_may_run(command: str, package: Path) -> None:
    assert told(["env", *command.split()], package).by


@pytest.mark.parametrize(
    "command",
    [
        "npm run migrate:live",
        "npm run migrate:dry-run -- --live",
        "npm run migrate:dry-run -- --yes",
        "npm run migrate:dry-run --yes",
        "npm run told",
        "npm run off",
        "npm run round",
        "npm run nothing",
        "npx tsx scripts/migrate.ts --live",
        "npx tsx scripts/migrate.ts --yes",
        "npx tsx scripts/yes.ts -y",
        "npx tsx scripts/hot.ts",
    ],
)
def test_one_that_an_argument_or_another_line_makes_live_is_not_started(command: str, package: Path) -> None:
    with pytest.raises(Refused):
        told(["env", *command.split()], package)
