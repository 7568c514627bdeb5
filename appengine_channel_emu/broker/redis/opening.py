"""Sockets that pages open: on our own wire, and on the SDK's, where one socket lives by one token."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from typing import Any

from appengine_channel_emu.broker.channel import TokenRecord
from appengine_channel_emu.broker.contract import BrokerOptions, Resume
from appengine_channel_emu.broker.errors import InvalidToken, PageError, TokenTimedOut, TooManySockets
from appengine_channel_emu.broker.receiver import Message
from appengine_channel_emu.broker.redis.asking import Asking
from appengine_channel_emu.broker.redis.mirror import browser_name
from appengine_channel_emu.broker.redis.node import Node
from appengine_channel_emu.broker.redis.polling import Polling
from appengine_channel_emu.broker.redis.presence import SharedPresence
from appengine_channel_emu.broker.results import Opened
from appengine_channel_emu.broker.tokens import written_expiry
from appengine_channel_emu.broker.turn import Pending


class Opening:
    """Asks for sockets. All methods raise `InvalidToken` at once for what is no token of the service."""

    def __init__(
        self,
        asking: Asking,
        polling: Polling,
        presence: SharedPresence,
        node: Node,
        options: BrokerOptions,
    ) -> None:
        self._asking = asking
        self._polling = polling
        self._presence = presence
        self._node = node
        self._options = options

    def open(self, token: str, resume: Resume | None, attempt: str | None, browser: str | None) -> Pending:
        """See `Broker`."""
        self._check(token)
        # Named after the attempt: asked twice, at whatever node, it is one socket.
        id = self._derived_id("open", self._asking.name() if attempt is None else f"{token} {attempt}")
        former, after = resume or ("", 0)

        def told(found: Any) -> Opened:
            what, client_id = found[0].decode(), found[1].decode()
            if what not in ("opened", "again", "resumed", "kept"):
                raise self._refusal(what, client_id, token)
            _, _, expires, opened_by, settled, *claimed = found
            record = TokenRecord(token, client_id, expires / 1000, opened_by.decode() or None)
            socket_id, number = (former, after) if what in ("resumed", "kept") else (id, 0)
            if claimed:
                socket = self._polling.mirror(socket_id, record, claimed[0], browser)
                number = after if what == "resumed" else socket.acknowledged
            presence_sent = self._presence.opening(client_id, bool(settled))
            return Opened(socket_id, client_id, number, record.expires, presence_sent)

        single = int(self._options.tabs == "single")
        return self._asking.ask_and_wait("open", id, token, self._options.max_sockets, single, former, after, told=told)

    def connect(self, token: str, browser: str | None) -> Pending:
        """See `Broker`."""
        return self._ask_sdk(
            "connect", token, browser, lambda found: self._presence.opening(found[1].decode(), bool(found[2]))
        )

    def poll_one(self, token: str, browser: str | None) -> Pending:
        """See `Broker`."""
        return self._ask_sdk(
            "poll", token, browser, lambda found: Message(found[3].decode()) if len(found) > 3 else None
        )

    def disconnect(self, token: str) -> Pending:
        """See `Broker`."""
        return self._ask_sdk("disconnect", token, None, lambda found: None)

    def _ask_sdk(self, what: str, token: str, browser: str | None, answer: Callable[[Any], Any]) -> Pending:
        self._check(token)

        def told(found: Any) -> Any:
            if found[0] != b"done":
                raise self._refusal(found[0].decode(), found[1].decode(), token)
            return answer(found)

        name = "" if browser is None else browser_name(browser)
        id, most = self._derived_id("sdk", token), self._options.max_sockets
        return self._asking.ask_and_wait("sdk", what, token, id, most, name, self._asking.name(), told=told)

    def _check(self, token: str) -> None:
        if not self._node.mint.made(token):
            raise InvalidToken

    def _refusal(self, what: str, client_id: str, token: str) -> PageError:
        error: PageError
        if what == "TooManySockets":
            error = TooManySockets()
        elif what == "TokenTimedOut" or written_expiry(token) <= self._node.now():
            error = TokenTimedOut()
        else:
            error = InvalidToken()
        error.client_id = client_id or None
        return error

    def _derived_id(self, kind: str, name: str) -> str:
        """A socket's id that nobody can guess, the same at every node."""
        digest = hmac.digest(self._node.mint.key, f"{kind} {name}".encode("utf-8", "surrogatepass"), "sha256")
        # Its first character is a letter: a leading dash would read as an option on a command line.
        return "s" + base64.urlsafe_b64encode(digest[:16]).decode("ascii").rstrip("=")
