"""Our own client's wire: open, poll, close (behaviour.md 5)."""

from __future__ import annotations

import json
import math
import re

import falcon

from appengine_channel_emu.broker.contract import Broker, Opened, Poll
from appengine_channel_emu.broker.errors import EmulatorError
from appengine_channel_emu.web.browsers import browser_of
from appengine_channel_emu.web.errors import PLAIN, BadRequest, status_of
from appengine_channel_emu.web.options import WebOptions
from appengine_channel_emu.web.tabs import Tabs
from appengine_channel_emu.web.waiting import Waiting
from appengine_channel_emu.web.wsgi import Answer, ConnectionCut

EARLY_SECONDS = 60.0
"""For how long after a message of its client id a poll's head is sent early: thousands of idle pages need none."""

_JSON = [("Content-Type", "application/json")]
_ATTEMPT = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


def required(req: falcon.Request, name: str) -> str:
    """The query parameter `name`, given once; raises `BadRequest`."""
    value = req.params.get(name)
    if not isinstance(value, str):
        raise BadRequest(f"The parameter '{name}' is {'missing' if value is None else 'given more than once'}.")
    return value


def _number(req: falcon.Request, name: str) -> int:
    text = required(req, name)
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise BadRequest(f"The parameter '{name}' is a whole number from 0 on.")
    return int(text)


class Open:
    """`GET open?channel=TOKEN[&socket=OLD&after=N][&attempt=NAME]`."""

    only_get = True

    def __init__(self, broker: Broker, options: WebOptions, tabs: Tabs) -> None:
        self._broker = broker
        self._options = options
        self._tabs = tabs

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Open or resume a socket; the answer waits a moment for the app to be told (behaviour.md 4)."""
        token = required(req, "channel")
        resume = (required(req, "socket"), _number(req, "after")) if "socket" in req.params else None
        attempt = required(req, "attempt") if "attempt" in req.params else None
        if attempt is not None and not _ATTEMPT.match(attempt):
            raise BadRequest("The parameter 'attempt' is 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'.")
        opened = self._broker.open(token, resume, attempt, browser_of(req.env))
        alias = self._tabs.opened(opened.socket, req.env)
        resp.stream = Waiting(opened.presence_sent, self._options.longest_telling, lambda: self._answer(opened, alias))

    def _answer(self, opened: Opened, alias: str | None) -> Answer:
        fields: dict[str, object] = {
            "socket": opened.socket,
            "client": opened.client_id,
            "next": opened.next,
            "wait": self._options.longest_poll,
            "expires": max(0.0, round(opened.expires - self._broker.clock.now(), 3)),
            "resume": self._broker.options.resume_window,
        }
        if alias is not None:
            fields["alias"] = alias
        if self._options.quiet:
            fields["quiet"] = True
        return _json(json.dumps(fields).encode("ascii"))


class PollSocket:
    """`GET poll?socket=ID&after=N[&wait=SECONDS][&early=1]`: the long poll.

    `early=1`: the head of the answer may come at once, before it is known what the answer is, which saves a browser
    most of its work when a message comes. Then what ends the socket comes with status 200, too, as
    `{"error": STATUS, "reason": TEXT}`, and a line feed, which is nowhere else in it, ends the body. It is one packet
    more for each poll, so the head comes early where messages do, see `EARLY_SECONDS`.
    """

    only_get = True

    def __init__(self, broker: Broker, options: WebOptions, tabs: Tabs) -> None:
        self._broker = broker
        self._options = options
        self._tabs = tabs

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Wait for a message, the end of the socket, or the end of the wait."""
        socket_id, after = required(req, "socket"), _number(req, "after")
        seconds = self._seconds(req)
        early = "early" in req.params and required(req, "early") == "1"
        poll = self._broker.poll(socket_id, after, browser_of(req.env))
        held = _Held(self._broker, poll, seconds, self._tabs, early and self._expects_messages(poll))
        resp.stream = held.waiting
        self._tabs.arrived(poll, req.env, held)

    def _expects_messages(self, poll: Poll) -> bool:
        last = poll.last_message_at
        return last is not None and self._broker.clock.now() - last < EARLY_SECONDS

    def _seconds(self, req: falcon.Request) -> float:
        if "wait" not in req.params:
            return self._options.longest_poll
        try:
            seconds = float(required(req, "wait"))
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < math.inf:
            raise BadRequest("The parameter 'wait' is a number of seconds from 0 on.")
        return min(seconds, self._options.longest_poll)


class _PageWaiting(Waiting):
    """Browsers never end one side alone: a page that has done so has gone."""

    ends_with_client = True


class _Held:
    """A poll with its answer to come."""

    def __init__(self, broker: Broker, poll: Poll, seconds: float, tabs: Tabs, early: bool) -> None:
        self._broker = broker
        self._poll = poll
        self._tabs = tabs
        self._shaken = False
        self.waiting = _PageWaiting(poll.ready, seconds, self._answer, self._release, _JSON if early else None)

    def shake(self) -> None:
        """See `Shakeable`."""
        self._shaken = True
        self.waiting.expire()

    def _answer(self) -> Answer:
        if self._poll.cut:
            raise ConnectionCut
        try:
            answer = self._broker.take(self._poll)
        except EmulatorError as error:
            return self._refusal(status_of(error), str(error))
        texts = b",".join(message.json for message in answer.messages)
        shaken = b',"shaken":true' if self._shaken else b""
        return _json(b'{"messages":[%b],"next":%d%b}\n' % (texts, answer.next, shaken))

    def _refusal(self, status: str, text: str) -> Answer:
        if self.waiting.head_sent:
            return _json(b"%b\n" % json.dumps({"error": int(status[:3]), "reason": text}).encode("ascii"))
        return Answer(status, [("Content-Type", PLAIN)], text.encode("ascii"))

    def _release(self) -> None:
        self._broker.release(self._poll)
        self._tabs.left(self._poll, self)


class Close:
    """`POST close?socket=ID`: what `close()` and the unload beacon send."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Close the socket; one that is gone already is no error."""
        self._broker.close(required(req, "socket"))
        resp.content_type = PLAIN
        resp.text = "closed\n"


def _json(body: bytes) -> Answer:
    return Answer("200 OK", _JSON, body)
