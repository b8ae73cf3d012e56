"""One thing after another, beside the page, and every end in words."""

from __future__ import annotations

import threading

import pytest

from workbench.errors import Refused
from workbench.panels.work import LASTING, Work


def test_jobs_run_in_order_and_in_the_background() -> None:
    work, done, gate = Work("demo"), list[str](), threading.Event()

    def first(_: object) -> None:
        assert gate.wait(20)
        done.append("first")

    work.start("one", first)
    work.start("two", lambda _: done.append("second"))
    assert work.busy
    assert done == []
    gate.set()
    work.wait()
    assert done == ["first", "second"]
    assert not work.busy


def test_the_page_shows_that_the_database_is_being_changed() -> None:
    work, seen = Work("demo"), list[bool]()

    def look(_: object) -> None:
        seen.append(LASTING in work._dom_classes)

    def fail(_: object) -> None:
        look(_)
        raise Refused("No.")

    work.start("reading", look)
    work.start("changing", look, look, lasting=True)
    work.start("failing", fail, lasting=True)
    work.start("reading", look)
    work.wait()
    assert seen == [False, True, False, True, False]


def test_an_error_is_shown_and_its_callback_is_not_called() -> None:
    work, followed = Work("the club's"), list[str]()

    def refuse(_: object) -> None:
        raise Refused("The plan <b>x</b> was refused.", "Look at `workbench plans`.")

    work.start("trying", refuse, lambda _: followed.append("then"))
    work.wait()
    assert "wb-fail" in work.message
    assert "&lt;b&gt;x&lt;/b&gt;" in work.message
    assert "workbench plans -e" in work.message, "a suggested command names the environment"
    assert not followed
    assert not work.busy
    work.start("again", lambda _: None)
    work.wait()
    assert work.message == "", "a new wish begins with a clean page"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_unexpected_error_is_shown_and_raised() -> None:
    work = Work("demo")
    work.start("dividing", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        work.wait()
    assert "ZeroDivisionError" in work.message
    assert not work.busy


def test_messages_of_one_request_are_all_shown() -> None:
    work = Work("demo")

    def then(_: object) -> str:
        work.start("more", lambda _: None, lambda _: "Second.")
        return "First."

    work.start("some", lambda _: None, then)
    work.wait()
    assert work.message.index("First.") < work.message.index("Second.")


def test_progress_is_shown() -> None:
    work, seen = Work("demo"), list[tuple[int, int, str]]()

    def act(advance: object) -> None:
        advance("rows <i>", 3, 3)  # type: ignore[operator]
        seen.append((work._bar.value, work._bar.max, work._doing.value))

    work.start("counting", act)
    work.wait()
    assert seen == [(3, 3, "<p>rows &lt;i&gt;: 3 of 3</p>")]
    assert work._bar.layout.display == "none"
