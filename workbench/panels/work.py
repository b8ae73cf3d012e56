"""What a panel does: one thing after another, beside the page, with its progress and its end in words."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import RLock, Thread, current_thread
from time import monotonic
from typing import Any, TypeVar

from ipywidgets import HTML, IntProgress, VBox
from markupsafe import Markup
from traitlets import Bool

from workbench import WorkbenchError
from workbench.reporting.tables import prose, visible

Result = TypeVar("Result")
Advance = Callable[[str, int, int], None]

LASTING = "wb-lasting"
"""What the page around finds while something is done that is not to be broken off by leaving it."""

_PAUSE = 0.1  # seconds; a browser need not hear of every row


class Work(VBox):
    """Does what it is told in a thread of its own, so that the page stays usable.

    What is told second is done second. An error of the workbench is shown in its own words, and what was to
    follow it is not done.

    Parameters
    ----------
    environment : str
        The environment's name, for the commands that are suggested.

    Attributes
    ----------
    busy : bool
        Whether something is being done; buttons that act are to be off meanwhile.
    """

    busy = Bool(False)

    def __init__(self, environment: str) -> None:
        self._environment = environment
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="panel")
        self._jobs: list[Future[None]] = []
        self._begun, self._lock, self._worker, self._shown_at = 0, RLock(), Thread(), 0.0
        self._doing, self._bar, self._said = HTML(), IntProgress(0, 0, 1), HTML().add_class("wb-said")
        super().__init__([self._doing, self._bar, self._said])
        self._rest()

    @property
    def message(self) -> str:
        """What it reported since a person last asked for something, as HTML; empty where there was nothing to say."""
        return str(self._said.value)

    def start(
        self,
        what: str,
        act: Callable[[Advance], Result],
        then: Callable[[Result], str | None] = lambda _: None,
        *,
        lasting: bool = False,
    ) -> None:
        """Begin something, after what was begun before.

        Parameters
        ----------
        what : str
            What is being done, for whoever waits.
        act : callable
            Does it; given a function that is told the step, how many are done, and how many there are.
        then : callable
            Given the result when it went well; may return a sentence to show.
        lasting : bool
            Whether it changes the database, so that who leaves the page is asked first, and it goes on all the same.
        """
        with self._lock:
            if (
                current_thread() is not self._worker
            ):  # a person asked; what follows from that is shown below it
                self._said.value = ""
            self._begun += 1
            self.busy = True
            self._jobs = [job for job in self._jobs if not job.done() or job.exception()]
            self._jobs.append(self._pool.submit(self._run, what, act, then, lasting))

    def wait(self) -> None:
        """Wait until all is done that was begun."""
        while self._jobs:  # what is being done may begin something more
            with self._lock:
                job = self._jobs.pop(0)
            job.result()

    def say(self, sentence: str, tone: str = "pass") -> None:
        """Show a sentence below the panel; commands in backticks are set as such."""
        words = prose(visible(sentence), self._environment)
        self._said.value += Markup('<p class="wb-{}" role="alert">{}</p>').format(tone, words)

    def _run(
        self, what: str, act: Callable[[Advance], Any], then: Callable[[Any], str | None], lasting: bool
    ) -> None:
        self._worker = current_thread()
        self._doing.value = Markup("<p>{} …</p>").format(what)
        try:
            if lasting:
                self.add_class(LASTING)
            try:
                result = act(self._advance)
            finally:
                self.remove_class(LASTING)
            if sentence := then(result):
                self.say(sentence)
        except WorkbenchError as error:
            self.say(str(error), "fail")
        except Exception as error:
            self.say(f"This failed in a way that was not foreseen ({type(error).__name__}: {error}).", "fail")
            raise
        finally:
            self._rest()
            with self._lock:
                self._begun -= 1
                self.busy = self._begun > 0

    def _rest(self) -> None:
        self._doing.value, self._bar.layout.display, self._shown_at = "", "none", 0.0

    def _advance(self, step: str, done: int, total: int) -> None:
        if done == total or monotonic() - self._shown_at >= _PAUSE:
            self._shown_at = monotonic()
            self._bar.max, self._bar.value, self._bar.layout.display = max(total, 1), done, ""
            self._doing.value = Markup("<p>{}: {} of {}</p>").format(step, f"{done:,}", f"{total:,}")
