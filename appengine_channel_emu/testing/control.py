"""What a test does with an emulator, whichever it is: in process, or a real server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager

from appengine_channel_emu.broker.contract import Broker, Sent
from appengine_channel_emu.faults import Faults
from appengine_channel_emu.testing.client import ChannelClient
from appengine_channel_emu.testing.server_api import route_api_to
from appengine_channel_emu.testing.transports import Transport


class EmulatorUnderTest(ABC):
    """Tokens, messages, clients, faults and time, and the end of a test."""

    def __init__(self) -> None:
        self._clients: list[ChannelClient] = []

    @property
    @abstractmethod
    def broker(self) -> Broker:
        """The emulator's broker."""

    @property
    @abstractmethod
    def _transport(self) -> Transport:
        """How the calls of an app in this process reach the emulator."""

    @property
    def _address(self) -> str | Transport:
        """How a client reaches it."""
        return self._transport

    @property
    def faults(self) -> Faults:
        """Faults on request: `emulator.faults.add("poll cut count=1")`."""
        return self.broker.faults

    def create_channel(self, client_id: str, duration_minutes: int | None = None) -> str:
        """A token, as the server API gives it."""
        return self.broker.create_channel(client_id, duration_minutes).token

    def send_message(self, client_id: str, message: str) -> Sent:
        """Send a message, and learn to how many sockets it went."""
        return self.broker.send_message(client_id, message)

    def client(self, client_id: str | None = None, *, token: str | None = None) -> ChannelClient:
        """A client, not yet open, with `token` or a new token for `client_id`."""
        if (client_id is None) == (token is None):
            raise TypeError("client() takes a client id or a token")
        self._clients.append(ChannelClient(self._address, token or self.create_channel(client_id or "")))
        return self._clients[-1]

    def leading(self) -> AbstractContextManager[None]:
        """While it lasts, calls of `google.appengine.api.channel` in this thread ask this emulator and no other."""
        return route_api_to(self._transport)

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Move the clock on, through every timer on the way; open pages feel it."""

    def close_pages(self) -> None:
        """Close every socket, and let the app hear `disconnected/`: the clock moves on by `disconnect_after`.

        So the app's state is not the next test's. Faults on request are over first, so that it hears of it.
        """
        clients, self._clients = self._clients, []
        self.broker.faults.clear()
        for client in clients:
            client.leave()
        for client_id in self.broker.control.client_ids():
            for socket_id in self.broker.control.sockets_of(client_id):
                self.broker.control.close(socket_id)
        if self._connected():
            self.advance(self.broker.options.disconnect_after)

    def _connected(self) -> list[str]:
        """The client ids that the app takes for connected."""
        there = self.broker.control
        return [name for name in there.client_ids() if (channel := there.channel(name)) is not None and channel.told]
