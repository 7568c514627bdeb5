"""Tests of apps that use channels: an emulator in process, a clock that a test moves, a client like a page."""

from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.environment import importable
from appengine_channel_emu.testing.app import PresenceHandlerError
from appengine_channel_emu.testing.client import ChannelClient, ChannelError, NoMessage
from appengine_channel_emu.testing.emulator import ChannelServer, Emulator
from appengine_channel_emu.testing.server_api import AmbiguousEmulator
from appengine_channel_emu.testing.testbed import ChannelStub, InvalidTokenError, TokenTimedOutError
from appengine_channel_emu.testing.transports import EmulatorAway

__all__ = [
    "AmbiguousEmulator",
    "ChannelClient",
    "ChannelError",
    "ChannelServer",
    "ChannelStub",
    "Emulator",
    "EmulatorAway",
    "InvalidTokenError",
    "ManualClock",
    "NoMessage",
    "PresenceHandlerError",
    "TokenTimedOutError",
    "importable",
]
