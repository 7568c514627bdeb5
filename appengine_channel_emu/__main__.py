"""``python -m appengine_channel_emu``: the same as ``channel-emu``."""

from appengine_channel_emu.cli import entry_point

entry_point()
