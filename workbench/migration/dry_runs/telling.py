"""Would the importer be told that the run is dry? What is not sure of that is not started (guide §2.2, §1.6).

``DRY_RUN=1`` in the environment is a word that a command may lose on the way (``sudo``, ``ssh``, ``env -i``), take
back (``DRY_RUN=0 npx ...``), or never have heard of. A dry run that was none is a live run that nobody wanted.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import Refused, UsageError

VARIABLE = "DRY_RUN"

_TRUE = {"1", "true", "yes", "on"}
_ASSIGNED = re.compile(rf"(?<![A-Za-z0-9_]){VARIABLE}=([^\s;&|'\"]*)")
_TAKEN_BACK = re.compile(
    rf"\bunset\s+(?:-v\s+)?(?:\w+\s+)*{VARIABLE}\b|\benv\s+(?:-\S+\s+)*(?:-i\b|-\s|--ignore-environment)"
    rf"|(?:-u\s*|--unset[= ]){VARIABLE}\b"
)
_LOSING = {
    *(
        "sudo",
        "doas",
        "su",
        "runuser",
        "ssh",
        "docker",
        "podman",
        "nerdctl",
        "docker-compose",
        "kubectl",
        "systemd-run",
    ),
    *(
        "launchctl",
        "at",
        "batch",
        "crontab",
        "machinectl",
        "vagrant",
        "heroku",
        "fly",
        "flyctl",
        "chroot",
        "nsenter",
    ),
}
"""Programs that start others elsewhere, or without the environment they were started with."""

_LIVE = re.compile(r"--(?:live|no-dry-?run)|--(?:dry-?run)=(?:0|false|no|off)|--mode=live", re.IGNORECASE)
_DRY = re.compile(r"--dry-?run(?:=(?:1|true|yes|on))?", re.IGNORECASE)
_SHELLS = {"sh", "bash", "zsh", "dash", "ksh", "fish"}
_SCRIPTS = {".ts", ".mts", ".cts", ".js", ".mjs", ".cjs", ".tsx", ".py", ".sh", ".bash", ".rb", ".pl", ".php"}
_IMPORTED = re.compile(
    r"""(?:from\s+|import\s+|require\(\s*|import\(\s*|source\s+|^\.\s+)['"]?(\.{1,2}/[\w./-]+)|^\s*(?:from|import)\s+(\w+)""",
    re.MULTILINE,
)
_MENTIONED = re.compile(rf"\b{VARIABLE}\b")
_SET_OTHERWISE = re.compile(
    rf"\b{VARIABLE}\b['\"]?\]?\s*=(?!=)\s*['\"]?(?:0|false|no|off)\b|\b{VARIABLE}=(?=\s)"
    rf"|\bunset\s+{VARIABLE}\b|\bdelete\s+process\.env\.{VARIABLE}\b|\benv\s+-i\b",
    re.IGNORECASE,
)
_DEFAULT = re.compile(
    r"^(?!\s*(?://|#|\*)).*?\bdry_?run\b\s*(?::\s*bool(?:ean)?\s*(?==)|:(?!\s*bool)|(?==))=?(?!=)\s*([^\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_DRY_VALUE = re.compile(
    r"true\b|(?:!|not\b).*?\b(?:live|yes|execute|apply|commit)\b"
    r"|['\"]--(?:live|yes|execute|apply|commit)['\"]\s+not\s+in\b",
    re.IGNORECASE,
)
"""What a script first says of its dry run: true, or that nothing made it live, is dry by itself."""

_MAKES_LIVE = {"--live", "--yes", "-y", "--execute", "--apply", "--commit"}
_PACKAGERS, _STARTS = {"npm", "pnpm", "yarn", "bun"}, {"run", "run-script", "rum", "urn"}
_DEEPEST = 5
_MOST_FILES, _LARGEST = 200, 2 << 20


@dataclass(frozen=True)
class Told:
    """How the importer is known to be told.

    Attributes
    ----------
    by : str
        In words, for the manifest.
    """

    by: str


def told(command: Sequence[str], folder: Path, *, vouched: bool = False) -> Told:
    """Say how an importer would be told that the run is dry.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    folder : Path
        Where it is started.
    vouched : bool
        Whether the operator says that this importer heeds the variable: for one whose source is not here.

    Raises
    ------
    UsageError
        When there is no such program.
    Refused
        When it would not be told, or nothing shows that it would heed it.
    """
    if not command or not command[0].strip():
        raise UsageError("No command was given.", "Write `workbench dry-run -- COMMAND...`.")
    words = [one for each in command for one in _words(each)]
    lines = [" ".join(command), *_scripts_of_packages(words, folder)]
    words += [one for line in lines[1:] for one in _words(line)]
    if problem := _takes_back(lines, words):
        raise Refused(
            f"This would not be a dry run: {problem}.", "Nothing was started. Take that out of the command."
        )
    if problem := _loses(words):
        raise Refused(f"The importer would not be told: {problem}.", "Nothing was started.")
    program = command[0]
    there = (folder / program).is_file() if "/" in program else shutil.which(program) is not None
    if not there:
        raise UsageError(
            f"There is no program {program!r} here.", "Write the command as in a shell: npx tsx ..."
        )
    if problem := _overridden(folder):
        raise Refused(
            f"The importer may be told something else: {problem}.", "Nothing was started. Correct it."
        )
    scripts = [path for each in words if (path := _script(folder / each)) is not None]
    if "/" in program and (path := _script(folder / program, any_text=True)) is not None:
        scripts.append(path)
    if problem := _told_otherwise(scripts):
        if vouched:
            return Told(f"{VARIABLE}=1 in its environment; the operator vouches for it, although {problem}")
        raise Refused(
            f"The importer would be told something else: {problem}.",
            "Nothing was started. Correct it; if it is only spoken of there, say so with --vouch.",
        )
    if any(_DRY.fullmatch(each) for each in words):
        return Told(f"{VARIABLE}=1 in its environment, and --dry-run among its arguments")
    for script in scripts:
        for path, text in _reached(script):
            if _MENTIONED.search(text):
                return Told(f"{VARIABLE}=1 in its environment, which {path.name} reads")
    for script in scripts:
        default = _DEFAULT.search(script.read_text(encoding="utf-8", errors="replace"))
        if default and _DRY_VALUE.match(default[1]):
            if not (live := _made_live(words, script)):
                return Told(f"{script.name} itself, which is dry unless an argument makes it live")
            raise Refused(
                f"This would not be a dry run: {script.name} is dry by itself, and the command says {live}.",
                "Nothing was started. Take that out of the command.",
            )
    if vouched:
        return Told(f"{VARIABLE}=1 in its environment; the operator vouches that the importer heeds it")
    raise Refused(
        f"Nothing shows that this importer heeds {VARIABLE}=1: "
        + (
            f"{scripts[0].name} and what it imports do not mention it."
            if scripts
            else "no script of it is named."
        ),
        "Nothing was started. If you know that it does, say so with --vouch; --dry-run among its arguments will do too.",
    )


def _scripts_of_packages(words: Sequence[str], folder: Path) -> list[str]:
    """Return the command lines behind ``npm run NAME``, with what comes before and after them, and those behind these."""
    try:
        content = json.loads((folder / "package.json").read_text(encoding="utf-8-sig"))
        scripts = content["scripts"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    found: list[str] = []
    waiting = [list(words)]
    for _ in range(_DEEPEST):
        waiting = [line for each in waiting for line in _behind(each, scripts)]
        found += [" ".join(line) for line in waiting]
    return found


def _behind(words: Sequence[str], scripts: object) -> Iterator[list[str]]:
    names = scripts if isinstance(scripts, dict) else {}
    for number, word in enumerate(words):
        if Path(word).name not in _PACKAGERS:
            continue
        after = [each for each in words[number + 1 :] if each != "--"]
        called = next((each for each in after if not each.startswith("-") and each not in _STARTS), "")
        for name in (f"pre{called}", called, f"post{called}"):
            if isinstance(line := names.get(name), str):
                given = after[after.index(called) + 1 :] if name == called else []
                yield [*(_words(line)[1:] or [line]), *given]


def _made_live(words: Sequence[str], script: Path) -> str:
    """Return the argument after a script that makes it live; what stands before it is another program's."""
    behind = False
    for each in words:
        if behind and each in _MAKES_LIVE:
            return each
        behind = behind or Path(each).name == script.name
    return ""


def _words(argument: str) -> list[str]:
    """Return an argument, and where it is a command line for a shell, its words too."""
    if not re.search(r"\s", argument):
        return [argument]
    try:
        return [argument, *shlex.split(argument, comments=False)]
    except ValueError:
        return [argument, *argument.split()]


def _takes_back(lines: Sequence[str], words: Sequence[str]) -> str:
    for each in words:
        for value in _ASSIGNED.findall(each):
            if value.lower() not in _TRUE:
                return f"the command says {VARIABLE}={value}"
        if _LIVE.fullmatch(each):
            return f"the command says {each}"
    for one, other in zip(words, [*words[1:], ""], strict=True):
        if one.lower() in ("--mode", "--dry-run", "--dryrun") and other.lower() in (
            "live",
            "0",
            "false",
            "no",
            "off",
        ):
            return f"the command says {one} {other}"
    if any(_TAKEN_BACK.search(f"{line} ") for line in lines):
        return f"the command clears the environment, or {VARIABLE}"
    return ""


def _loses(words: Sequence[str]) -> str:
    for number, each in enumerate(words):
        if Path(each).name not in _LOSING or each.startswith("-"):
            continue
        if number and not _runs_another(words[:number]):
            continue  # an argument that happens to be called so
        after = words[number + 1 :]
        passed = (
            VARIABLE,
            f"{VARIABLE}=1",
            f"--preserve-env={VARIABLE}",
            f"--env={VARIABLE}",
            f"--env={VARIABLE}=1",
        )
        if not any(one in passed or f"{VARIABLE}=1 " in one for one in after):
            return (
                f"{Path(each).name} does not pass {VARIABLE} on by itself; say {VARIABLE}=1 in what it runs"
            )
    return ""


def _runs_another(before: Sequence[str]) -> bool:
    """Whether what stands before a word lets it be a program: a wrapper, assignments, options, or a shell's line."""
    wrappers = {
        "env",
        "nice",
        "nohup",
        "time",
        "timeout",
        "stdbuf",
        "xargs",
        "exec",
        "command",
        "setsid",
        "ionice",
    }
    programs = [
        each for each in before if not each.startswith("-") and "=" not in each and not each[:1].isdigit()
    ]
    named = {Path(each).name for each in programs}
    return (
        not programs
        or bool(named & _SHELLS)
        or named <= wrappers
        or before[-1] in ("&&", "||", ";", "|", "exec")
    )


def _overridden(folder: Path) -> str:
    for name in (".env", ".env.local"):
        path = folder / name
        try:
            text = path.read_text(encoding="utf-8-sig", errors="replace") if path.is_file() else ""
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
        for line in text.splitlines():
            found = _ASSIGNED.search(line)
            if found and not line.lstrip().startswith("#") and found[1].lower() not in _TRUE:
                return f"{name} sets {VARIABLE}={found[1]}"
    return ""


def _script(path: Path, any_text: bool = False) -> Path | None:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        if path.suffix.lower() in _SCRIPTS:
            return path
        with path.open("rb") as file:
            return path if any_text and file.read(2) == b"#!" else None
    except OSError:
        return None


def _told_otherwise(scripts: Sequence[Path]) -> str:
    """Say where a script, or what it imports, sets the variable to something else, or takes it away."""
    for script in scripts:
        for path, text in _reached(script):
            if found := _SET_OTHERWISE.search(text):
                line = text.count("\n", 0, found.start()) + 1
                return f"{path.name}, line {line}, says {found[0].strip()!r}"
    return ""


def _reached(script: Path) -> Iterator[tuple[Path, str]]:
    """Yield a script and what it imports by relative path, each with its text."""
    waiting, seen = [script], {script.resolve()}
    while waiting and len(seen) <= _MOST_FILES:
        path = waiting.pop(0)
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        yield path, text
        for each in _imported(path, text):
            if each.resolve() not in seen:
                seen.add(each.resolve())
                waiting.append(each)


def _imported(path: Path, text: str) -> Iterator[Path]:
    for relative, module in _IMPORTED.findall(text):
        if module and path.suffix != ".py":
            continue
        base = path.parent / (relative or module)
        bare = base.with_suffix("") if base.suffix in (".js", ".mjs", ".cjs") else base
        candidates = [base, *(bare.with_name(bare.name + ending) for ending in sorted(_SCRIPTS))]
        candidates += [base / f"index{ending}" for ending in sorted(_SCRIPTS)]
        yield from (each for each in candidates if _script(each) is not None)
