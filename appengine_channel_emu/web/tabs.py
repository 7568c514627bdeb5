"""Many tabs of one browser: another name for each one's polls, and the shake where that cannot be (design.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appengine_channel_emu.broker.clock import Scheduler
from appengine_channel_emu.broker.contract import Broker, Poll
from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.web.aliases import Aliases
from appengine_channel_emu.web.browsers import browser_of
from appengine_channel_emu.web.shake import Browser, Shakeable, Shaker

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Tabs:
    """What the wire tells of sockets and polls. Without `scheduler`, as in a test in process, nothing is shaken."""

    def __init__(self, broker: Broker, scheduler: Scheduler | None) -> None:
        self._broker = broker
        self._aliases = Aliases()
        self._shaker = Shaker(scheduler) if scheduler is not None else None
        broker.events.listen(self._hear)
        if self._shaker is not None:
            broker.when_unpolled(self._shaker.unpolled)

    def opened(self, socket_id: str, environ: WSGIEnvironment) -> str | None:
        """A page opened a socket; the `name:port` that it may poll on, if there is one."""
        if self._shaker is not None:
            self._shaker.opened(socket_id, _browser(environ))
        return self._aliases.give(socket_id, environ["wsgi.url_scheme"], environ.get("HTTP_HOST", ""))

    def arrived(self, poll: Poll, environ: WSGIEnvironment, held: Shakeable) -> None:
        """A poll arrived; `left` follows."""
        if self._shaker is None:
            return
        if self._shaker.arrived(poll.socket_id, _browser(environ), held):
            held.shake()
        if self._broker.client_id_of_socket(poll.socket_id) is None:
            self._shaker.closed(poll.socket_id)

    def left(self, poll: Poll, held: Shakeable) -> None:
        """The poll was answered, or its client has gone."""
        if self._shaker is not None:
            self._shaker.left(poll.socket_id, held)

    def _hear(self, event: Event) -> None:
        if event.kind == "socket_closed" and event.socket is not None:
            self._aliases.take_back(event.socket)
            if self._shaker is not None:
                self._shaker.closed(event.socket)


def _browser(environ: WSGIEnvironment) -> Browser:
    return browser_of(environ), environ.get("HTTP_HOST", "")
