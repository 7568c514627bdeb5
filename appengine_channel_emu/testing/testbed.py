"""The methods of the SDK's testbed stub that tests of apps called, on an emulator (facts.md 1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appengine_channel_emu.testing.client import ChannelClient

if TYPE_CHECKING:
    from appengine_channel_emu.testing.emulator import Emulator


class InvalidTokenError(Exception):
    """The token is not one of this emulator."""


class TokenTimedOutError(Exception):
    """The token's time is up."""


class ChannelStub:
    """What `testbed.get_stub('channel')` gave: channels by token, with the messages that nobody popped yet."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._connected: dict[str, tuple[ChannelClient, list[str]]] = {}

    def connect_channel(self, token: str) -> None:
        """Open a socket with `token`; if the client id has one, nothing happens.

        Raises `InvalidTokenError` or `TokenTimedOutError`.
        """
        client = self._emulator.client(token=token).open()
        if client.error is not None:
            timed_out = client.error.description == "Token+timed+out."
            raise TokenTimedOutError(token) if timed_out else InvalidTokenError(token)
        assert client.client_id is not None
        if client.client_id in self._connected and not self._connected[client.client_id][0].closed:
            client.close()
            return
        self._connected[client.client_id] = (client, [])

    def disconnect_channel(self, token: str) -> None:
        """Close the socket; the app hears `disconnected/` once the clock has moved on by the grace of two seconds."""
        connection = self._connected.pop(self._client_id(token), None)
        if connection is not None:
            connection[0].close()

    def get_channel_messages(self, token: str) -> list[str] | None:
        """The messages that wait, or None where nobody is connected."""
        connection = self._connected.get(self._client_id(token))
        if connection is None:
            return None
        client, waiting = connection
        waiting += client.take_messages()
        return waiting

    def has_channel_messages(self, token: str) -> bool:
        """Whether a message waits."""
        return bool(self.get_channel_messages(token))

    def pop_first_message(self, token: str) -> str | None:
        """Take the first message that waits, or None."""
        waiting = self.get_channel_messages(token)
        return waiting.pop(0) if waiting else None

    def clear_channel_messages(self, token: str) -> None:
        """Forget the messages that wait."""
        waiting = self.get_channel_messages(token)
        if waiting:
            waiting.clear()

    def _client_id(self, token: str) -> str:
        return self._emulator.broker.client_id_of(token)
