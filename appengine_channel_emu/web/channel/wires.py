"""What pages ask: over our own client's wire open, poll and close (behaviour.md 5), and the SDK's wire.

The stream of our own client is stream.py's.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import falcon

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.errors import EmulatorError, PageError
from appengine_channel_emu.broker.receiver import Message, Poll, PollAnswer
from appengine_channel_emu.broker.results import Opened
from appengine_channel_emu.broker.turn import Signal
from appengine_channel_emu.faults.gate import FaultGate
from appengine_channel_emu.host.visitors import server_hints
from appengine_channel_emu.web.channel.poll_release import PollRelease
from appengine_channel_emu.web.guard import WebOptions
from appengine_channel_emu.web.later import when_known
from appengine_channel_emu.web.refusals import Refusals
from appengine_channel_emu.web.resources import BadRequest, Query, answer_to, respond
from appengine_channel_emu.web.waiting import OwnAnswer, Waiting
from appengine_channel_emu.web.wsgi import JSON, PLAIN, Answer, ConnectionCut, browser_of, json_answer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

EARLY_SECONDS = 60.0
"""For how long after a message of its client id a poll's head is sent early: thousands of idle pages need none."""

_MakeAnswer = Callable[[Any], OwnAnswer]
_ATTEMPT = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


def messages_json(answer: PollAnswer, more: bytes = b"") -> bytes:
    """What brings a page its messages; `more` are further fields."""
    texts = b",".join([message.json for message in answer.messages])
    return b'{"messages":[%b],"next":%d%b}' % (texts, answer.next, more)


def error_json(answer: Answer) -> bytes:
    """What tells a page of `answer`, a refusal, where no status can."""
    return json.dumps({"error": int(answer.status[:3]), "reason": answer.body.decode("ascii").strip()}).encode("ascii")


class _PageResource:
    """What our own client asks of a socket by GET."""

    only_get = True

    def __init__(self, broker: Broker, options: WebOptions, faults: FaultGate) -> None:
        self._broker = broker
        self._options = options
        self._faults = faults


class OpenSocket(_PageResource):
    """`GET open?channel=TOKEN[&socket=OLD&after=N][&attempt=NAME]`."""

    def __init__(self, broker: Broker, options: WebOptions, faults: FaultGate, refusals: Refusals) -> None:
        super().__init__(broker, options, faults)
        self._refusals = refusals

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Open or resume a socket; the answer waits a moment for the app to be told (behaviour.md 4)."""
        query = Query(req, strict=False)
        token = query.required("channel")
        resume = (query.required("socket"), query.number("after")) if "socket" in query else None
        attempt = query.text("attempt")
        if attempt is not None and not _ATTEMPT.match(attempt):
            raise BadRequest("The parameter 'attempt' is 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'.")
        respond(resp, self._faults.meet(("open",), lambda: self._open(token, resume, attempt, req.env), (token,)))

    def _open(
        self, token: str, resume: tuple[str, int] | None, attempt: str | None, environ: WSGIEnvironment
    ) -> OwnAnswer:
        streams, longest = server_hints(environ).upgrades, self._options.longest_presence_wait
        return when_known(
            functools.partial(self._broker.open, token, resume, attempt, browser_of(environ)),
            lambda opened: Waiting(opened.presence_sent, longest, lambda: self._answer(opened, streams)),
            functools.partial(self._refused, token, environ),
        )

    def _refused(self, token: str, environ: WSGIEnvironment, error: Exception) -> None:
        if isinstance(error, PageError):
            self._refusals.open(token, error, environ)

    def _answer(self, opened: Opened, streams: bool) -> Answer:
        fields: dict[str, object] = {
            "socket": opened.socket,
            "client": opened.client_id,
            "next": opened.next,
            "wait": self._options.longest_poll,
            "expires": max(0.0, round(opened.expires - self._broker.clock.now(), 3)),
            "resume": self._broker.options.resume_window,
        }
        if streams:
            fields["stream"] = True
        if self._options.quiet:
            fields["quiet"] = True
        return json_answer(fields)


class PollSocket(_PageResource):
    """`GET poll?socket=ID&after=N[&wait=SECONDS][&early=1][&pauses=1]`: the long poll.

    `early=1`: the head of the answer may come at once, before it is known what the answer is, which saves a browser
    most of its work when a message comes. Then what ends the socket comes with status 200, too, as
    `{"error": STATUS, "reason": TEXT}`, and a line feed, which is nowhere else in it, ends the body. It is one packet
    more for each poll, so the head comes early where messages do, see `EARLY_SECONDS`.

    `pauses=1`: the page can be told to pause, see poll_release.py. Without `polls`, as in a test in process, no poll is
    answered early.
    """

    def __init__(
        self,
        broker: Broker,
        options: WebOptions,
        polls: PollRelease | None,
        faults: FaultGate,
        refusals: Refusals,
    ) -> None:
        super().__init__(broker, options, faults)
        self._polls = polls
        self._refusals = refusals

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Wait for a message, the end of the socket, or the end of the wait."""
        query = Query(req, strict=False)
        asked = AskedPoll(
            query.required("socket"),
            query.number("after"),
            query.seconds("wait", self._options.longest_poll, self._options.longest_poll),
            query.text("early") == "1",
            query.text("pauses") == "1",
        )
        do = functools.partial(self.poll, asked, browser_of(req.env), req.env)
        respond(resp, self._faults.meet(("poll",), do, socket=asked.socket_id))

    def poll(self, asked: AskedPoll, browser: str | None, environ: WSGIEnvironment) -> Waiting:
        """The answer to come. Raises `PageError`, which is told of with what `environ` says of the request."""
        try:
            poll = self._broker.poll(asked.socket_id, asked.after, browser)
        except PageError as error:
            self._refusals.socket(asked.socket_id, error, environ)
            raise
        polls = self._polls if browser is not None else None
        pauses = asked.pauses and polls is not None and asked.seconds > 0 and not poll.ready.is_set
        held = HeldPoll(self._broker, poll, asked, self._expects_messages(poll), polls, browser, pauses)
        if polls is not None and browser is not None:
            polls.arrived(asked.socket_id, browser, held)
        return held

    def _expects_messages(self, poll: Poll) -> bool:
        last = poll.last_message_at
        return last is not None and self._broker.clock.now() - last < EARLY_SECONDS


class AskedPoll(NamedTuple):
    """What a poll asks, see `PollSocket`."""

    socket_id: str
    after: int
    seconds: float
    early: bool
    pauses: bool


class HeldPoll(Waiting):
    """A poll with its answer to come; a `ParkedPoll`, if `polls` is to know of it."""

    __slots__ = ("_broker", "_browser", "_poll", "_polls", "_released", "pauses")

    ends_with_client = True
    """Browsers never end one side alone: a page that has done so has gone."""

    def __init__(
        self,
        broker: Broker,
        poll: Poll,
        asked: AskedPoll,
        expects_messages: bool,
        polls: PollRelease | None,
        browser: str | None,
        pauses: bool,
    ) -> None:
        super().__init__(poll.ready, asked.seconds, early_head=JSON if asked.early and expects_messages else None)
        self._broker = broker
        self._poll = poll
        self._polls = polls
        self._browser = browser
        self._released: dict[str, object] | None = None
        self.pauses = pauses

    def answer_early(self, **fields: object) -> None:
        """See `ParkedPoll`."""
        if not self.ready:
            self._released = {"released": True, **fields}
            self.expire()

    def _make(self) -> Answer:
        if self._poll.cut:
            raise ConnectionCut
        try:
            answer = self._broker.take(self._poll)
        except EmulatorError as error:
            return self._refusal(answer_to(error))
        more = b"," + json.dumps(self._released)[1:-1].encode("ascii") if self._released else b""
        return Answer("200 OK", JSON, messages_json(answer, more) + b"\n")

    def _refusal(self, answer: Answer) -> Answer:
        if not self.head_sent:
            return answer
        return Answer("200 OK", JSON, error_json(answer) + b"\n")

    def _end(self) -> None:
        self._broker.release(self._poll)
        if self._polls is not None and self._browser is not None:
            self._polls.left(self._browser, self)


class CloseSocket:
    """`POST close?socket=ID`: what `close()` and the unload beacon send."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Close the socket; one that is gone already is no error."""
        close = functools.partial(self._broker.close, Query(req, strict=False).required("socket"))
        respond(resp, when_known(close, lambda was_there: Answer("200 OK", PLAIN, b"closed\n")))


class SdkWire:
    """`GET dev?command=connect|poll|disconnect&channel=TOKEN`.

    The SDK's own wire, which its script and many native clients speak (facts.md 4.1).
    """

    only_get = True

    def __init__(self, broker: Broker, options: WebOptions, faults: FaultGate, refusals: Refusals) -> None:
        self._broker = broker
        self._options = options
        self._faults = faults
        self._refusals = refusals
        self._commands: dict[str, tuple[tuple[str, ...], Callable[[str, str | None], Any], _MakeAnswer]] = {
            "connect": (("open",), broker.connect, self._connected),
            "poll": (("poll",), broker.poll_one, self._polled),
            "disconnect": ((), lambda token, browser: broker.disconnect(token), lambda gone: Answer("200 OK", [])),
        }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Statuses, reasons, types and bodies are those of the real dev server, except for disconnect's."""
        query = Query(req, strict=False)
        command, token = query.required("command"), query.required("channel")
        if command not in self._commands:
            raise BadRequest("The parameter 'command' is connect, poll or disconnect.")
        stages, ask, answer = self._commands[command]

        def refused(error: Exception) -> None:
            if isinstance(error, PageError):
                self._refusals.open(token, error, req.env)

        def asked() -> OwnAnswer:
            return when_known(functools.partial(ask, token, browser_of(req.env)), answer, refused)

        respond(resp, self._faults.meet(stages, asked, (token,)))

    def _connected(self, told: Signal) -> Waiting:
        answer = Answer("200 OK", [("Content-Type", "text/plain")], b"1")
        return Waiting(told, self._options.longest_presence_wait, lambda: answer)

    def _polled(self, message: Message | None) -> Answer:
        if message is None:
            return Answer("200 OK", [])
        return Answer("200 OK", [("Content-Type", "application/json; charset=utf-8")], message.text.encode("utf-8"))
