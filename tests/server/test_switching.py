"""A page that goes from poll to stream and back, at every number, gets each message once and in order."""

from __future__ import annotations

import contextlib
import json

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.server.test_parking import Wire, open_socket, poll_path
from tests.support.waiting import LONG_ENOUGH, until

MESSAGES = 40


class ByPoll:
    transport = "poll"

    def __init__(self, service, socket_id, after):
        self._wire = Wire(service)
        self._socket_id = socket_id
        self._wire.send(poll_path(socket_id, after))

    def receive(self, number):
        """The messages up to this number; and wait for the next."""
        messages = self._wire.poll()
        self._wire.send(poll_path(self._socket_id, number))
        return messages

    def ended_empty(self):
        """Whether it has brought nothing more, now that another has taken over."""
        return self._wire.poll() == []

    def close(self):
        self._wire.close()


class ByStream:
    transport = "stream"

    def __init__(self, service, socket_id, after):
        url = f"ws://127.0.0.1:{service.port}/_ah/channel/stream?socket={socket_id}&after={after}"
        self._end = contextlib.ExitStack()
        self._connection = self._end.enter_context(connect(url, compression=None, open_timeout=LONG_ENOUGH))

    def receive(self, number):
        messages = []
        while (frame := json.loads(self._connection.recv(LONG_ENOUGH)))["next"] < number:
            messages += frame["messages"]
        if number % 4 == 1:  # Else the next poll says so.
            self._connection.send(str(number))
        return messages + frame["messages"]

    def ended_empty(self):
        with pytest.raises(ConnectionClosed):
            self._connection.recv(LONG_ENOUGH)
        return True

    def close(self):
        self._end.close()


@pytest.mark.parametrize("sent", ["before the old one is left", "while the new one comes", "when the new one stands"])
def test_at_every_number(service, sent):
    socket_id = open_socket(service, "ann")
    old = None
    for number in range(1, MESSAGES + 1):
        text = f"message {number}"
        if sent.startswith("before"):
            # The old one has it, but the page does not: its connection may have been lost.
            service.broker.send_message("ann", text)
        new = (ByStream if number % 2 else ByPoll)(service, socket_id, number - 1)
        if sent.startswith("while"):
            service.broker.send_message("ann", text)
        elif sent.startswith("when"):
            until(lambda wanted=new.transport: transport(service) == wanted)
            assert old is None or old.ended_empty()
            service.broker.send_message("ann", text)
        assert new.receive(number) == [text]
        if old is not None:
            old.close()
        old = new
    old.close()


def transport(service):
    """By which the socket waits at this moment."""
    (socket,) = service.broker.control.channel("ann").sockets_shown
    return socket.transport
