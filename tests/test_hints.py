"""Every command that is suggested can be pasted: it exists, its options do, and it asks the same environment."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path

import typer
from hypothesis import given
from hypothesis import strategies as st

from tests.commands import at, shell  # noqa: F401
from workbench.cli.command import program
from workbench.cli.options import normalize_arguments
from workbench.hints import OF_NO_ENVIRONMENT, aim

PACKAGE = Path(__file__).parents[1] / "workbench"
COMMAND = program()
NAMES = "|".join(COMMAND.commands)
QUOTED = re.compile(r"`workbench ([a-z][^`\n]*)`")
BARE = re.compile(rf"(?:^|: |\$ |; |`)\S*workbench ((?:{NAMES}) ?[^`\n;]*?)(?=[`;]|\.?$|   #)", re.MULTILINE)


def parse(line: str):
    """Parse a command line as the program would; return its words and its parameters."""
    words = normalize_arguments(shlex.split(line.split(" > ")[0]))
    command, names = COMMAND, []
    context = command.make_context("workbench", list(words))
    while hasattr(command, "commands") and (rest := [*context._protected_args, *context.args]):
        name, command, rest = command.resolve_command(context, rest)
        names.append(name)
        context = command.make_context(name, rest, parent=context)
    return " ".join(names), context.params


def suggested_in_sources():
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
        }
        shown = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) in shown:  # a docstring
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                text = node.value
            elif isinstance(node, ast.JoinedStr):
                text = "".join(
                    str(part.value)
                    if isinstance(part, ast.Constant)
                    else FILLED.get(ast.unparse(part.value), "X")
                    for part in node.values
                )
            else:
                continue
            for match in QUOTED.finditer(text):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", match[1]


FILLED = {
    "named": "--run X",
    "found.given": "--snapshot X",
    "kind": "member",
    **dict.fromkeys(("len(problems)", "total"), "9"),
    **dict.fromkeys(("on", "self._on", "moves", "entity", "option"), ""),
}


def test_what_is_suggested_exists():
    lines = list(suggested_in_sources())
    assert len(lines) > 70
    wrong = []
    for place, line in lines:
        try:
            parse(line)
        except typer.BadParameter.__base__ as error:  # click's UsageError, wherever typer keeps it
            wrong.append((place, line, str(error)))
    assert not wrong


ASKED = [
    "triage",
    "run {bad}",
    "check",
    "tiers",
    "mappings",
    "duplicates",
    "preflight",
    "plan rollback {bad}",
    "plan tiers",
]
"""What answers with suggestions."""

TOLD = [
    "plan mapping Member 1", "plan merge a b", "plan policies", "plan rollback nowhere", "show nowhere",
    "snapshot restore nowhere", "snapshot verify", "bundle create .", "dry-run review", "report nowhere", "app health",
    "approve nowhere --digest 0", "preflight sign", "mappings 1",
]  # fmt: skip
"""What has a suggestion for whoever asked wrongly, or too early."""


def test_suggestions_ask_the_same_environment(clubs, at):  # noqa: F811
    club = clubs.clone("application", 60)
    club.execute("""UPDATE "WaIdMapping" SET "clubosId" = gen_random_uuid() WHERE "waId" %% 40 = 3""")
    club.execute("""UPDATE "Member" SET "membershipTierId" = NULL""")
    run = at(club)
    bad = json.loads(run("runs", "--json").stdout)[-1]["run"]
    suggested = set()
    for words in [*ASKED, "triage --json", *TOLD]:
        done = run(*words.format(bad=bad).split())
        assert done.returncode < 4 or "not foreseen" not in done.stderr, done
        text = "\n".join(map(str, done)).replace('\\"', '"').replace("\\n", "\n")
        for match in BARE.finditer(re.sub(r'",?$', "", text, flags=re.MULTILINE)):
            if "[OPTIONS]" in match[1]:  # how a command is used, not one to paste
                continue
            name, parameters = parse(match[1])
            assert name in OF_NO_ENVIRONMENT or parameters["environment"] == "club", (words, match[0])
            suggested.add(name)
    assert len(suggested) > 12


def test_prose_of_notebooks_suggests_no_command_for_an_unnamed_environment():
    for path in sorted((PACKAGE.parent / "notebooks").rglob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        assert not QUOTED.search(prose) or "add `-e NAME`" in prose, path.name


@given(st.text(), st.sampled_from(["demo", "club", "club of 'B'"]))
def test_a_text_without_commands_stays_as_it_is(text, environment):
    assert aim(text.replace("`", ""), environment) == text.replace("`", "")


def test_where_the_option_goes():
    assert aim("`workbench run X`", "demo") == "`workbench run X`"
    assert (
        aim("See `workbench run X`, `workbench plans`.", "club")
        == "See `workbench run X -e club`, `workbench plans -e club`."
    )
    assert aim("`workbench dry-run -- npm run x`", "club") == "`workbench dry-run -e club -- npm run x`"
    assert aim("`workbench plan rollback x > p.txt`", "club") == "`workbench plan rollback x -e club > p.txt`"
    assert (
        aim("`workbench check -e other`, `workbench demo`", "club")
        == "`workbench check -e other`, `workbench demo`"
    )
