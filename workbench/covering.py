"""People covered in what a question answers: frames leave the room in saved notebooks and files."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import fields, is_dataclass, replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from workbench.reporting.masking import mask
from workbench.session import Session

_within = ContextVar("_within", default=False)
"""Whether a question is being asked by another one."""

_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")
_S = TypeVar("_S", bound=Session)


def covering(
    question: Callable[Concatenate[_S, _Asked], _Answer],
) -> Callable[Concatenate[_S, _Asked], _Answer]:
    """Mask people in the frames that a question answers with, unless `Session.unmask`.

    A panel masks what it shows by its own switch, and a question asked within another sees everything.
    """

    @wraps(question)
    def ask(wb: _S, /, *args: _Asked.args, **kwargs: _Asked.kwargs) -> _Answer:
        if wb.unmask or wb.people is not None or _within.get():
            return question(wb, *args, **kwargs)
        token = _within.set(True)
        try:
            answer = question(wb, *args, **kwargs)
        finally:
            _within.reset(token)
        covered: _Answer = cover(answer)
        return covered

    return ask


def cover(answer: Any) -> Any:
    """Mask people in a frame, or in every frame that a value holds."""
    if isinstance(answer, pd.DataFrame):
        masked = mask(answer)
        masked.attrs = answer.attrs
        return masked
    if type(answer) in (list, tuple):
        return type(answer)(cover(each) for each in answer)
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
        and any(held in str(field.type) for held in ("DataFrame", "Finding]", "Finding,"))
    )
