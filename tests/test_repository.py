"""Rules for the repository itself: what may be committed, which room may import which, and how large rooms are."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "workbench"

# From top to bottom: a room imports itself and what stands below it.
LAYERS = (
    "__main__",
    "cli",
    "panels",
    "facade",
    "plans.questions",
    "reporting",
    "triage",
    "reconcile",
    "demo",
    "policies",
    "history",
    "runs",
    "snapshots.restore",
    "snapshots.namespace",
    "snapshots.application",
    "snapshots.dump",
    "mappings.questions",
    "duplicates.questions",
    "duplicates.answers",
    "tiers.questions",
    "audit.questions",
    "migration",
    "covering",
    "answer",
    "session",
    "reporting.charts",
    "reporting.charts",
    "reporting.tables",
    "reporting.masking",
    "checks",
    "duplicates",
    "runs.discovery",
    "runs.status",
    "runs.records",
    "runs.omissions",
    "runs.evidence",
    "mappings",
    "snapshots",
    "tiers",
    "plans",
    "audit",
    "murmurant",
    "database",
    "settings",
    "documents",
    "statements",
    "normalise",
    "hints",
    "errors",
)

# Further imports that are forbidden for a module and everything in it.
NEVER = {
    "workbench.tiers": ("workbench.plans.apply",),
    "workbench.policies": ("workbench.plans.apply",),
    "workbench.mappings": ("workbench.plans.apply",),
    "workbench.runs": ("workbench.plans.apply",),
    "workbench.history": ("workbench.plans.apply",),
    "workbench.duplicates": ("workbench.plans.apply",),
    "workbench.plans.plan": ("sqlalchemy", "pandas", "time"),
    "workbench.snapshots.store": ("sqlalchemy", "pandas", "time"),
}

# The largest number of lines of Python in each room; "facade" is the files outside the rooms. When a room shrinks, lower its
# number and WHOLE to those that `python tests/test_repository.py` prints. Code that moves takes its lines along. The goals are in
# docs/architecture.md.
SIZES = {
    "duplicates": 2862,
    "snapshots": 1850,
    "runs": 1842,
    "murmurant": 1864,
    "mappings": 1663,
    "reporting": 1658,
    "cli": 1424,
    "plans": 1449,
    "facade": 1428,
    "migration": 1228,
    "panels": 1293,
    "database": 1133,
    "history": 1075,
    "checks": 952,
    "tiers": 643,
    "reconcile": 609,
    "triage": 439,
    "demo": 427,
    "audit": 242,
    "policies": 197,
}
WHOLE = 24278
FILES = 170
OTHER = 5_000  # SQL, JavaScript, CSS and templates, the recorded schema included
TESTS = 21_800

LONGEST = 600
NO_ROLES = {"each", "found", "told", "made", "said"}
EMPTY_WORDS = {"util", "utils", "helper", "helpers", "manager", "managers"}

# Joined here so that this file does not contain the names.
REGISTRIES = tuple(
    ".".join(parts).encode()
    for parts in (
        ("pypi", "org"),
        ("pypi", "python", "org"),
        ("pythonhosted", "org"),
        ("anaconda", "org"),
        ("anaconda", "com"),
        ("continuum", "io"),
        ("prefix", "dev"),
        ("npmjs", "org"),
    )
)


def repository_files() -> list[Path]:
    """List the files that git tracks or would add; without git, all except hidden folders and caches."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if (ROOT / ".git").exists():
        try:
            names = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout.split("\0")
        except (FileNotFoundError, subprocess.CalledProcessError):
            names = []
        if any(names):
            return [ROOT / name for name in names if name and (ROOT / name).is_file()]
    skipped = {"__pycache__", "build", "dist", "backups", "reports"}
    return [
        path
        for path in sorted(ROOT.rglob("*"))
        if path.is_file()
        and not any(
            part in skipped or (part.startswith(".") and part != ".ci")
            for part in path.relative_to(ROOT).parts
        )
    ]


def outputs_in(notebook: str) -> list[int]:
    """Return the numbers of the code cells with outputs or an execution count."""
    return [
        number
        for number, cell in enumerate(json.loads(notebook)["cells"])
        if cell["cell_type"] == "code" and (cell["outputs"] or cell["execution_count"] is not None)
    ]


def module_name(path: Path) -> str:
    """Return a source file's dotted module name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(module: str) -> str:
    """Return the room of a module: its folder, ``facade`` for files outside the folders, or its own entry in LAYERS."""
    parts = module.split(".")
    if (own := ".".join(parts[1:3])) in LAYERS:
        return own
    name = module.partition(".")[2].partition(".")[0]
    is_file = not name or (PACKAGE / f"{name}.py").is_file()
    return "facade" if is_file and name not in LAYERS else name


def imports(source: str, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Yield line and full name of every import in a source, with relative ones resolved."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = module.split(".")
                above = here[: len(here) - node.level + is_package]
                base = ".".join([*above, base] if base else above)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


def wrong_imports(source: str, module: str, is_package: bool = False) -> list[str]:
    """Return one line for each import that goes upward or that NEVER forbids."""
    wrong = []
    here = room(module)
    if here not in LAYERS:
        return [f"{module}: room {here!r} is missing in LAYERS"]
    for line, name in imports(source, module, is_package):
        if any(
            is_within(module, who) and is_within(name, what)
            for who, banned in NEVER.items()
            for what in banned
        ):
            wrong.append(f"{module}:{line}: may never import {name}")
        if not is_within(name, "workbench"):
            continue
        there = room(name)
        if there not in LAYERS and name.count(".") == 1:
            there = "facade"
        if there not in LAYERS:
            wrong.append(f"{module}:{line}: {name} is missing in LAYERS")
        elif LAYERS.index(there) < LAYERS.index(here):
            wrong.append(f"{module}:{line}: {here} is below {there}, but imports {name}")
    return wrong


def lines_of_code(source: str) -> int:
    """Count the lines that are neither blank, nor comment, nor docstring."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                documented |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in documented
        for number, line in enumerate(source.splitlines(), 1)
    )


def sizes() -> Counter[str]:
    """Return the lines of Python of each room, the largest first."""
    found: Counter[str] = Counter()
    for path in sources():
        inside = path.relative_to(PACKAGE).parts
        found[inside[0] if len(inside) > 1 else "facade"] += lines_of_code(path.read_text(encoding="utf-8"))
    return Counter(dict(found.most_common()))


def words(name: str) -> set[str]:
    """Split a name in either case into lower-case words."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def test_files_and_sources_are_found() -> None:
    assert {ROOT / "pyproject.toml", ROOT / ".ci" / "run"} <= set(repository_files())
    assert PACKAGE / "errors.py" in sources()


def test_notebooks_carry_no_outputs() -> None:
    dirty = {
        str(path.relative_to(ROOT)): cells
        for path in repository_files()
        if path.suffix == ".ipynb" and (cells := outputs_in(path.read_text(encoding="utf-8")))
    }
    assert not dirty, f"run .venv/bin/nbstripout on these (cells): {dirty}"


@pytest.mark.parametrize(
    ("count", "outputs", "cells"), [(None, [], []), (3, [], [0]), (None, [{"output_type": "stream"}], [0])]
)
def test_outputs_are_detected(count: int | None, outputs: list[dict[str, str]], cells: list[int]) -> None:
    cell = {"cell_type": "code", "execution_count": count, "outputs": outputs, "source": ""}
    assert outputs_in(json.dumps({"cells": [cell, {"cell_type": "markdown"}]})) == cells


def test_no_file_names_a_package_registry() -> None:
    naming = [
        f"{path.relative_to(ROOT)}: {host.decode()}"
        for path in repository_files()
        for host in REGISTRIES
        if host in path.read_bytes().lower()
    ]
    assert not naming


def test_imports_go_downward() -> None:
    wrong = [
        line
        for path in sources()
        for line in wrong_imports(
            path.read_text(encoding="utf-8"), module_name(path), is_package=path.name == "__init__.py"
        )
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("workbench.database.connection", "def later():\n    import workbench.duplicates.plan"),
        ("workbench.audit.entries", "from workbench import plans"),
        ("workbench.audit", "from workbench import open_workbench"),
        ("workbench.duplicates.plan", "from ..checks import registry"),
        ("workbench.newroom.thing", ""),
        ("workbench.cli.main", "import workbench.newroom.thing"),
        ("workbench.runs.plan", "from workbench.plans.apply import apply_plan"),
        ("workbench.plans.plan", "from sqlalchemy import text"),
        ("workbench.snapshots.store", "def now():\n    import time"),
    ],
)
def test_wrong_imports_are_detected(module: str, source: str) -> None:
    assert wrong_imports(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("workbench.cli.main", "from workbench import open_workbench"),
        ("workbench.workbench", "from workbench import __version__\nfrom workbench.reporting import runner"),
        ("workbench.runs.plan", "from workbench.plans.plan import Plan\nimport sqlalchemy"),
        ("workbench.runs.plan", "from . import merge\nfrom .merge import merge_members"),
        ("workbench.audit.entries", "from ..murmurant import schema"),
    ],
)
def test_right_imports_pass(module: str, source: str) -> None:
    assert not wrong_imports(source, module)


def test_relative_imports_of_a_package_start_at_the_package() -> None:
    assert not wrong_imports("from .runs import runs", "workbench.duplicates", is_package=True)
    assert wrong_imports("from ..checks import registry", "workbench.duplicates", is_package=True)


def test_no_room_grows() -> None:
    now = sizes()
    assert now.keys() == SIZES.keys(), "SIZES must list exactly the rooms"
    grown = {name: f"{lines} of {SIZES[name]}" for name, lines in now.items() if lines > SIZES[name]}
    assert not grown
    assert now.total() <= WHOLE, "the package has grown"
    assert len(list(sources())) <= FILES
    other = [path for suffix in ("sql", "js", "css", "j2") for path in PACKAGE.rglob(f"*.{suffix}")]
    texts = [path.read_text(encoding="utf-8") for path in other]
    assert sum(1 for text in texts for line in text.splitlines() if line.strip()) <= OTHER
    tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    assert sum(map(lines_of_code, tests)) <= TESTS


def test_only_lines_of_code_are_counted() -> None:
    source = '"""What it is.\n\nAt length.\n"""\n\n# why\nx = 1  # of it\n\n\ndef f():\n    """Do."""\n    return """a\nb"""\n'
    assert lines_of_code(source) == 4


def test_variables_are_named_by_their_role() -> None:
    wrong = [
        f"{module_name(path)}:{node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in NO_ROLES)
        or (isinstance(node, ast.arg) and node.arg in NO_ROLES)
    ]
    assert not wrong


def test_modules_are_short() -> None:
    lengths = {module_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert not {module: length for module, length in lengths.items() if length > LONGEST}


def test_links_are_valid() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    links = [
        (page, link) for page in pages for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text())
    ]
    assert len(links) > 10
    lost = [f"{page.name}: {link}" for page, link in links if not _is_valid(page, link)]
    assert lost == []


def _is_valid(page: Path, link: str) -> bool:
    """Whether a file exists, and the heading in it."""
    file, _, heading = link.partition("#")
    there = page.parent / file if file else page
    if not heading:
        return there.exists()
    headings = re.findall(r"(?m)^#+ (.+)$", there.read_text()) if there.is_file() else []
    return heading in {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}


SIGN = re.compile(r"§\d(?:\.\d)?")


def test_cited_sections_are_in_the_guide() -> None:
    sections = set(re.findall(r"(?m)^#+ (§\S+)$", (ROOT / "docs" / "guide.md").read_text()))
    files = [path for suffix in ("py", "sql", "toml", "ipynb", "j2") for path in PACKAGE.rglob(f"*.{suffix}")]
    files += [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    cited = {sign: path.name for path in files for sign in SIGN.findall(path.read_text())}
    assert len(cited) > 20
    assert {sign: name for sign, name in cited.items() if sign not in sections} == {}


@pytest.mark.parametrize("page", ["README.md", "docs/snapshots.md", "docs/corrections.md", "docs/audit.md"])
def test_sections_link_to_the_guide(page: str) -> None:
    prose = re.sub(r"(?s)```.*?```|`[^`\n]*`", "", (ROOT / page).read_text())
    assert [sign for sign in SIGN.findall(prose) if f"[{sign}](" not in prose] == []
    assert "guide.md#" in prose


@pytest.mark.parametrize("link", ["docs/nowhere.md", "README.md#nowhere", "#nowhere"])
def test_broken_links_are_detected(link: str) -> None:
    assert not _is_valid(ROOT / "README.md", link)


def test_buttons_and_text_fields_are_made_in_one_place() -> None:
    """Those in workbench.panels.table ignore late clicks."""
    made = {path.name: _calls(path.read_text()) & {"Button", "Text"} for path in PACKAGE.glob("panels/*.py")}
    assert {name for name, found in made.items() if found} == {"table.py"}
    assert made["table.py"] == {"Button", "Text"}


def _calls(source: str) -> set[str]:
    """Return the plain names that are called."""
    called = (each.func for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Call))
    return {each.id for each in called if isinstance(each, ast.Name)}


def test_names_are_specific() -> None:
    named = [
        f"{module_name(path)}: {name}"
        for path in sources()
        for name in [
            *module_name(path).split("."),
            *(
                node.name
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            ),
        ]
        if words(name) & EMPTY_WORDS
    ]
    assert not named


@pytest.mark.parametrize("name", ["utils", "date_utils", "SnapshotManager", "_helper", "URLHelper"])
def test_empty_names_are_detected(name: str) -> None:
    assert words(name) & EMPTY_WORDS


def test_sources_cite_no_page_outside_the_repository() -> None:
    pages = re.compile("DES" r"IGN\b|\b[Pp]romise [0-9]")
    sources = [path for path in repository_files() if path.suffix in {".py", ".sql", ".ipynb"}]
    citing = [
        str(path.relative_to(ROOT)) for path in sources if pages.search(path.read_text(encoding="utf-8"))
    ]
    assert sources
    assert not citing


if __name__ == "__main__":
    for name, lines in sizes().items():
        print(f'    "{name}": {lines},')
    print(f"WHOLE = {sizes().total()}")
