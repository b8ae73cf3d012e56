"""One thing after another, beside the page, and every end in words."""

from __future__ import annotations

import threading

import pytest

from workbench.errors import Refused
from workbench.panels.work import LASTING, Work


def test_what_is_begun_second_is_done_second_and_the_page_is_free_meanwhile() -> None:
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


def test_what_is_suggested_asks_the_panel_s_environment() -> None:
    work = Work("the club's")

    def refuse(_: object) -> None:
        raise Refused("No.", "See `workbench plans`.")

    work.start("refusing", refuse)
    work.wait()
    assert "workbench plans -e" in work.message
    assert "the club" in work.message.split("workbench plans -e", 1)[1]


def test_what_is_not_to_be_broken_off_can_be_told_from_the_page() -> None:
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


def test_an_error_is_told_in_its_own_words_and_nothing_follows_it() -> None:
    work, followed = Work("demo"), list[str]()

    def refuse(_: object) -> None:
        raise Refused("The plan <b>x</b> was refused.", "Look at `workbench plans`.")

    work.start("trying", refuse, lambda _: followed.append("then"))
    work.wait()
    assert "wb-fail" in work.message
    assert "&lt;b&gt;x&lt;/b&gt;" in work.message
    assert "<code>workbench plans</code>" in work.message
    assert not followed
    assert not work.busy
    work.start("again", lambda _: None)
    work.wait()
    assert work.message == "", "a new wish begins with a clean page"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_nobody_foresaw_is_told_and_not_hidden() -> None:
    work = Work("demo")
    work.start("dividing", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        work.wait()
    assert "ZeroDivisionError" in work.message
    assert not work.busy


def test_sentences_of_one_wish_stand_below_each_other() -> None:
    work = Work("demo")

    def then(_: object) -> str:
        work.start("more", lambda _: None, lambda _: "Second.")
        return "First."

    work.start("some", lambda _: None, then)
    work.wait()
    assert work.message.index("First.") < work.message.index("Second.")


def test_progress_is_shown_while_it_lasts() -> None:
    work, seen = Work("demo"), list[tuple[int, int, str]]()

    def act(advance: object) -> None:
        advance("rows <i>", 3, 3)  # type: ignore[operator]
        seen.append((work._bar.value, work._bar.max, work._doing.value))

    work.start("counting", act)
    work.wait()
    assert seen == [(3, 3, "<p>rows &lt;i&gt;: 3 of 3</p>")]
    assert work._bar.layout.display == "none"
