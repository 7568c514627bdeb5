"""The end of a test: what is still open is closed, and the app hears of it, so that its state is not the next one's."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.testing.client import ChannelClient


def close_pages(broker: Broker, clients: Iterable[ChannelClient], advance: Callable[[float], None]) -> None:
    """Close `clients` and every other socket, and `advance` the clock until the app has been told.

    Faults on request are over first, so that it is told.
    """
    broker.faults.clear()
    for client in clients:
        client.leave()
    for client_id in broker.control.client_ids():
        for socket_id in broker.control.sockets_of(client_id):
            broker.control.close(socket_id)
    if told(broker):
        advance(broker.options.disconnect_after)


def told(broker: Broker) -> list[str]:
    """The client ids that the app takes for connected."""
    there = broker.control
    return [name for name in there.client_ids() if (channel := there.channel(name)) is not None and channel.told]
