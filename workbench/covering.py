"""People covered in what a question answers: frames leave the room in saved notebooks and files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass, replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from workbench.answer import Answer
from workbench.reporting.masking import mask
from workbench.session import Session

_within = ContextVar("_within", default=False)
"""Whether a question is being asked by another one."""

_Asked = ParamSpec("_Asked")
_Result = TypeVar("_Result")
_Owner = TypeVar("_Owner")


def covering(
    question: Callable[Concatenate[_Owner, _Asked], _Result],
) -> Callable[Concatenate[_Owner, _Asked], _Result]:
    """Mask people in the frames that a question of a workbench, or of one of its subjects, returns, unless `Session.unmask`.

    A panel masks what it shows by its own switch, and a question asked within another sees everything.
    """

    @wraps(question)
    def ask(owner: _Owner, /, *args: _Asked.args, **kwargs: _Asked.kwargs) -> _Result:
        if _seen(owner):
            return question(owner, *args, **kwargs)
        with _seeing_everything():
            answer = question(owner, *args, **kwargs)
        covered: _Result = cover(answer)
        return covered

    return ask


def answering(
    question: Callable[Concatenate[_Owner, _Asked], Answer],
) -> Callable[Concatenate[_Owner, _Asked], Answer]:
    """Let an answer know its environment, and whether it may show people: it masks itself where it is shown."""

    @wraps(question)
    def ask(owner: _Owner, /, *args: _Asked.args, **kwargs: _Asked.kwargs) -> Answer:
        wb, seen = _session(owner), _seen(owner)
        with _seeing_everything():
            answer = question(owner, *args, **kwargs)
        findings = answer.findings if seen else cover(answer.findings)
        return replace(answer, environment=wb.environment.name, unmask=wb.shows_people, findings=findings)

    return ask


def _session(owner: Any) -> Session:
    session = getattr(owner, "wb", owner)
    return session if isinstance(session, Session) else session.session


def _seen(owner: Any) -> bool:
    """Whether whoever asks sees everything: a question within another, a panel, or where people are not masked."""
    wb = _session(owner)
    return wb.unmask or wb.people is not None or _within.get()


@contextmanager
def _seeing_everything() -> Iterator[None]:
    token = _within.set(True)
    try:
        yield
    finally:
        _within.reset(token)


def cover(answer: Any) -> Any:
    """Mask people in a frame, or in every frame that a value holds."""
    if isinstance(answer, pd.DataFrame):
        masked = mask(answer)
        masked.attrs = answer.attrs
        return masked
    if type(answer) in (list, tuple):
        return type(answer)(cover(part) for part in answer)
    if is_dataclass(answer) and (names := _frames(answer.__class__)):
        return replace(answer, **{name: cover(getattr(answer, name)) for name in names})  # type: ignore[type-var]
    return answer


def _frames(kind: Any) -> tuple[str, ...]:
    """Return the fields of a dataclass that hold frames, or findings with frames of their own.

    Frames of counts and weights name columns and comparisons, such as ``email``, and nobody's address.
    """
    return tuple(
        field.name
        for field in fields(kind)
        if field.name not in ("chances", "tables", "counts", "tally")
        and any(kind in str(field.type) for kind in ("DataFrame", "Finding]", "Finding,"))
    )
