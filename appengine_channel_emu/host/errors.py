"""What keeps an app from answering: one tree, in which each class says what page a visitor gets instead.

CannotStart
RequestFailed
    NotForwardable
    BackendUnavailable
        DevServerSilent
    Unreachable
    BrokenAnswer
        ClosedWithoutAnswer
    AnswerTooLarge
    NoRoomForAnswer
    Overrun
    NotImported, HandlerRaised, HandlerCut, BadAnswer
"""

from __future__ import annotations

from appengine_channel_emu.hints import no_room, reason
from appengine_channel_emu.host.tracebacks import Traceback

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""App Engine's limit for a response (facts.md 9.3)."""


class CannotStart(Exception):
    """The app cannot be served at all; the text says why and what to do. The emulator ends with status 1."""


class RequestFailed(Exception):
    """The app has no answer to a request; the text says why."""

    status = 502
    title = "The app gave no answer"
    advice = "Its log may say why."
    """Of the visitor's page: what to do, behind the text."""
    detail: str | Traceback | None = None
    """Of that page too, for visitors on this machine: what is about the app's inside."""
    setting = ""
    """What to start channel-emu with to change it, such as "--instances 8"."""
    cpu_seconds: float | None = None
    """What the handler has used, where that is known."""
    cut = False
    """Whether the handler was ended at the request's deadline."""
    by_app = False
    """Whether the app's own process says that it has no answer, which to a post of ours counts as a status 500."""

    @property
    def explanation(self) -> str:
        """What the page says."""
        return f"{self} {self.advice}".rstrip()


class NotForwardable(RequestFailed):
    """A request that no app gets to see. `status` is the answer's."""

    title = "Not served"
    advice = ""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class BackendUnavailable(RequestFailed):
    """There is no process that could take the request now. `setting`: of the page, as above."""

    status = 503
    title = "The app does not run"
    advice = ""

    def __init__(self, text: str, setting: str = "") -> None:
        super().__init__(text)
        self.setting = setting


class DevServerSilent(BackendUnavailable):
    """The dev server has not even begun with the request."""

    title = "The dev server does not answer"


class Unreachable(RequestFailed):
    """No connection to the app."""

    title = "The app is not there"
    advice = "Is it running?"

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(f"{name} cannot be reached: {reason(error)}.")


class BrokenAnswer(RequestFailed):
    """The answer ended early, was not HTTP, or was one that nobody had asked for."""


class ClosedWithoutAnswer(BrokenAnswer):
    """The app closed the connection before the first byte of an answer."""


class AnswerTooLarge(RequestFailed):
    """The answer exceeds `MAX_ANSWER_BYTES`."""

    status = 500
    title = "Response too large"
    advice = ""

    def __init__(self) -> None:
        super().__init__(f"The answer is larger than {MAX_ANSWER_BYTES // 2**20} MiB.")


class NoRoomForAnswer(RequestFailed):
    """The answer cannot be kept until it is whole: the temporary folder is full."""

    status = 507
    title = "No room for the answer"
    advice = ""

    def __init__(self, error: OSError) -> None:
        super().__init__(no_room("the app's answer", error))


class Overrun(RequestFailed):
    """The answer was not complete when its time was up."""

    cut = True

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} did not answer in time.")


class NotImported(RequestFailed):
    """The app's module, or the script of this request, raised when it was imported; the text says what."""

    status = 500
    title = "The app could not be imported"

    def __init__(self, traceback: Traceback) -> None:
        # Where nothing was raised, all there is may be a sentence.
        why = traceback.raised or (traceback.text.strip() if len(traceback.text.splitlines()) == 1 else "")
        super().__init__(f"The app could not be imported{why and f': {why}'}".rstrip(".") + ".")
        self.detail = traceback

    @property
    def explanation(self) -> str:
        """What the page says, above the traceback."""
        return "This page goes away with the next request after the app is fixed."


class HandlerRaised(RequestFailed):
    """The app's handler raised; the text says what."""

    status = 500
    title = "The app raised an exception"
    advice = ""
    by_app = True


class HandlerCut(RequestFailed):
    """The handler was ended by the exception that App Engine raised at the deadline."""

    cut = True
    by_app = True


class BadAnswer(RequestFailed):
    """What the app made of WSGI is no answer; the text says why."""

    status = 500
    title = "The app's answer cannot be sent"
    advice = ""
    by_app = True
