"""Masking of personal data in what questions return: saved notebooks and files keep these frames."""

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
"""Whether the current question was asked by another one."""

_Asked = ParamSpec("_Asked")
_Result = TypeVar("_Result")
_Owner = TypeVar("_Owner")


def covering(
    question: Callable[Concatenate[_Owner, _Asked], _Result],
) -> Callable[Concatenate[_Owner, _Asked], _Result]:
    """Mask personal data in the frames that a question returns, unless `Session.unmask` is set.

    Panels mask what they show themselves. A question that another one asks is not masked.
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
    """Tell an answer its environment and whether it may show personal data; it masks itself when it is shown."""

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
    """Whether nothing is masked: for another question, for a panel, or with `Session.unmask`."""
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
    """Mask personal data in a frame, or in every frame of a list, tuple or dataclass."""
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
    """Return the fields of a dataclass that contain frames, or findings with frames.

    Frames of counts and weights are left out: they contain names of columns, such as ``email``, and no personal data.
    """
    return tuple(
        field.name
        for field in fields(kind)
        if field.name not in ("chances", "tables", "counts", "tally")
        and any(kind in str(field.type) for kind in ("DataFrame", "Finding]", "Finding,"))
    )
