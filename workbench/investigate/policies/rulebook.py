"""A file of rules: read, checked whole, and every problem told at once, by rule and nearest known key."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench.errors import UsageError, nearest, unknown
from workbench.investigate.policies.kinds import KINDS
from workbench.investigate.policies.rule import Rule, Where

STARTER = Path(__file__).with_name("starter.toml")
"""The rules that hold where an organisation has written down none of its own."""

_AGAIN = "`workbench policies --starter` prints a file to begin with."


@dataclass(frozen=True)
class Rulebook:
    """The rules of one file.

    Attributes
    ----------
    name : str
        The file's name, without its folder; ``starter set`` for ours.
    sha256 : str
        Of its bytes.
    rules : tuple of Rule
        In the order of the file.
    """

    name: str
    sha256: str
    rules: tuple[Rule, ...]

    def choose(self, ids: tuple[str, ...] | list[str]) -> list[Rule]:
        """Return the named rules, or all; an unknown id is a `UsageError` with the nearest."""
        known = {each.id: each for each in self.rules}
        for each in ids:
            if each not in known:
                raise unknown(f"rule in {self.name} called", each, known)
        return [known[each] for each in dict.fromkeys(ids)] if ids else list(self.rules)

    def rule(self, id: str) -> Rule | None:
        """Return the rule of this id, if there is one."""
        return next((each for each in self.rules if each.id == id), None)


def starter() -> Rulebook:
    """Return the starter set."""
    book = read_rulebook(STARTER)
    return Rulebook("starter set", book.sha256, book.rules)


def find_rulebook(named: Path | None) -> Rulebook:
    """Return the rules that hold: those of the file that is named, else the starter set."""
    return starter() if named is None else read_rulebook(named)


def read_rulebook(path: Path) -> Rulebook:
    """Read a file of rules.

    Raises
    ------
    UsageError
        For a file that is not there, not UTF-8, not TOML, or holds no rule; and for every rule that is
        wrong, all of them at once.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"The rules {path} cannot be read: {error.strerror}.", _AGAIN) from None
    try:
        told = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The rules {path} are not UTF-8 (byte {error.start}).", "Save the file as UTF-8 and try again."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"The rules {path} are not TOML: {error}.", "Correct the file and try again."
        ) from None
    problems = list(_strangers(told))
    listed = told.get("rule", [])
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        problems.append("rule: write each rule under a heading of its own, [[rule]] with two brackets")
        listed = []
    elif not listed and not problems:
        problems.append("there is no rule in it; each begins with [[rule]]")
    rules: list[Rule] = []
    seen: dict[str, int] = {}
    for place, each in enumerate(listed, 1):
        who = f"rule {each['id']!r}" if isinstance(each.get("id"), str) else f"rule number {place} (no id)"
        if isinstance(each.get("id"), str) and seen.setdefault(each["id"], place) != place:
            problems.append(f"{who}: rules number {seen[each['id']]} and {place} have the same id")
        made = _rule(each)
        if isinstance(made, Rule):
            rules.append(made)
        else:
            problems += [f"{who}: {problem}" for problem in made]
    if problems:
        more = f"\n  - and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise UsageError(
            f"The rules {path} are wrong:" + "".join(f"\n  - {each}" for each in problems[:20]) + more, _AGAIN
        )
    return Rulebook(path.name, sha256(content).hexdigest(), tuple(rules))


def _strangers(told: dict[str, Any]) -> Iterator[str]:
    for key in told:
        if key != "rule":
            yield f"unknown key {key!r}{_near(key, ['rule'])}; rules stand under [[rule]]"


def _rule(told: dict[str, Any]) -> Rule | list[str]:
    """Make a rule, or say everything that is wrong with it."""
    asked = told.get("ask", "sql" if "sql" in told else None)
    if asked is None:
        return [f"it does not say what to ask: ask = one of {', '.join(KINDS)}"]
    kind = KINDS.get(asked) if isinstance(asked, str) else None
    if kind is None:
        return [f"there is no question {asked!r}{_near(str(asked), KINDS)}"]
    try:
        return kind.model_validate(told)
    except ValidationError as error:
        return [_problem(kind, dict(each)) for each in error.errors(include_url=False, include_context=False)]


def _problem(kind: type[Rule], detail: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    said = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        key, inner = str(detail["loc"][-1]), detail["loc"][0] == "where" and len(detail["loc"]) > 1
        known = Where.model_fields if inner else kind.model_fields
        return f"unknown key {where!r}{_near(key, known)}"
    if detail["type"] == "missing":
        return f"{where} is missing"
    if detail["type"] in {"literal_error", "none_required"}:
        wanted = kind.model_fields[str(detail["loc"][0])].annotation
        words = [each for each in _words(wanted) if each]
        given = str(detail.get("input"))
        if not words:
            return f"{where} = {given!r}: this kind of rule has no {where}"
        return f"{where} = {given!r}: it must be {' or '.join(words)}"
    return f"{where}: {said}" if where else said


def _words(annotation: Any) -> list[str]:
    """Return the words a literal allows, also where it may be left out."""
    found = []
    for each in getattr(annotation, "__args__", ()):
        found += [each] if isinstance(each, str) else _words(each)
    return found


def _near(wanted: str, known: Any) -> str:
    close = nearest(wanted, list(known), count=1)
    return f" (did you mean {close[0]!r}?)" if close else f" (known: {', '.join(known)})"
