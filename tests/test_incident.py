"""The page that walks through an incident: its commands run, in their order, and its pictures are there."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.commands import Shell
from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import LOG, Clubs
from tests.states import differences
from tests.test_hints import parse
from workbench.demo.breakages import BREAKAGES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "incident.md").read_text(encoding="utf-8")
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
ELSEWHERE = {"workbench demo", "workbench lab"}  # tests of their own: they make a server, and never end
FINDS = {"triage", "run", "mappings", "duplicates", "report", "check"}
"""Commands whose exit code 1 says that there is something to find."""
CAPITALS = {"RUN_ID", "PLAN", "DIGEST", "CANONICAL", "DUPLICATE"}
MOST = 200_000  # bytes of a picture


def test_the_page_is_linked_and_its_pictures_are_there() -> None:
    assert "](docs/incident.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", PAGE)
    assert len(named) >= 7
    for words, path in named:
        assert len(words) > 20, f"{path} says nothing to who cannot see it"
        assert (ROOT / "docs" / path).read_bytes().startswith(b"\x89PNG")
        assert (ROOT / "docs" / path).stat().st_size < MOST, f"{path} is too large"
    there = {f"pictures/{path.name}" for path in (ROOT / "docs" / "pictures").iterdir()}
    assert there == {path for _, path in named}


@dataclass
class Night:
    """Somebody who follows the page: what the commands said so far, and so what its words in capitals stand for."""

    run: Shell
    names: dict[str, str] = field(default_factory=dict)

    def do(self, command: str) -> None:
        words = shlex.split(command)
        assert words.pop(0) == "workbench"
        words = [self.names[word] if word in CAPITALS else word for word in words]
        asks = words[0] in {"runs", "duplicates"} or words[0] == "plan"
        done = self.run(*words, *(["--json"] if asks else []))
        assert done.returncode in ({0, 1} if words[0] in FINDS else {0}), (command, done)
        if asks:
            self.remember(words[0], json.loads(done.stdout))

    def remember(self, command: str, facts: Any) -> None:
        if command == "runs":
            self.names["RUN_ID"] = next(run["run"] for run in facts if run["status"] == "interrupted")
        elif command == "plan":
            self.names |= {"PLAN": Path(facts["plan"]).stem, "DIGEST": facts["digest"]}
        else:
            cluster = next(cluster for cluster in facts["members"]["clusters"] if cluster["offered"])
            stays = cluster["canonical"]
            self.names |= {"CANONICAL": stays, "DUPLICATE": next(i for i in cluster["members"] if i != stays)}


def test_every_command_of_the_page_runs(at: Callable[..., Shell], clubs: Clubs) -> None:
    club = clubs.clone("application")
    club.breaks(*BREAKAGES)
    night = Night(at(club))
    assert len(COMMANDS) >= 15
    states = [club.state(LOG)]
    for command in COMMANDS:
        if command in ELSEWHERE or command.startswith(
            "workbench report"
        ):  # a kernel each: they have tests of their own
            parse(command.removeprefix("workbench "))
            continue
        night.do(command)
        if command.split()[1] in {"apply", "undo"}:
            states.append(club.state(LOG))
    before, rolled_back, undone, remapped, merged = states
    assert len(differences(before, rolled_back)) >= 2
    assert not differences(before, undone), "every table is as it was"
    assert differences(undone, remapped)
    assert differences(remapped, merged)["Member"], "one of the two is gone"
