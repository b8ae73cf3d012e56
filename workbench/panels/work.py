"""Background work of a panel: one job after another, with progress and results, while the page stays usable."""

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
"""The class by which the page warns before leaving it interrupts a change of the database."""

_PAUSE = 0.1  # seconds between two progress messages


class Work(VBox):
    """Runs jobs in a thread, one after another, and shows progress, results and errors.

    An error of the workbench is shown in its own words, and the callback of that job is not called.

    Parameters
    ----------
    environment : str
        The environment's name, for suggested commands.

    Attributes
    ----------
    busy : bool
        Whether a job is queued or running.
    """

    busy = Bool(False)

    def __init__(self, environment: str) -> None:
        self._environment = environment
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="panel")
        self._jobs: list[Future[None]] = []
        self._begun, self._lock, self._worker, self._shown_at = 0, RLock(), Thread(), 0.0
        self._doing, self._bar, self._messages = HTML(), IntProgress(0, 0, 1), HTML().add_class("wb-said")
        super().__init__([self._doing, self._bar, self._messages])
        self._rest()

    @property
    def message(self) -> str:
        """The messages since the user last started a job, as HTML; empty where there are none."""
        return str(self._messages.value)

    def start(
        self,
        what: str,
        act: Callable[[Advance], Result],
        then: Callable[[Result], str | None] = lambda _: None,
        *,
        lasting: bool = False,
    ) -> None:
        """Queue a job.

        Parameters
        ----------
        what : str
            The progress text.
        act : callable
            Does the work; given a function to call with the step, the number done and the total.
        then : callable
            Called with the result; may return a sentence to show.
        lasting : bool
            Whether it changes the database: the page then asks before it is left, and the job is finished anyway.
        """
        with self._lock:
            if current_thread() is not self._worker:  # started by the user, not by a job
                self._messages.value = ""
            self._begun += 1
            self.busy = True
            self._jobs = [job for job in self._jobs if not job.done() or job.exception()]
            self._jobs.append(self._pool.submit(self._run, what, act, then, lasting))

    def wait(self) -> None:
        """Wait until all jobs are done, including those that they start."""
        while self._jobs:
            with self._lock:
                job = self._jobs.pop(0)
            job.result()

    def say(self, sentence: str, tone: str = "pass") -> None:
        """Show a sentence below the panel; text in backticks is shown as a command."""
        words = prose(visible(sentence), self._environment)
        self._messages.value += Markup('<p class="wb-{}" role="alert">{}</p>').format(tone, words)

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
            self.say(f"Unexpected error ({type(error).__name__}: {error}).", "fail")
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
