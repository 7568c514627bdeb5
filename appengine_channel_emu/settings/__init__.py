"""The settings of the emulator: one declared table, three sources (behaviour.md section 12).

A flag beats a variable, a variable beats the file, the file beats the default.
"""

from appengine_channel_emu.settings.sources import BadSetting, add_flags, load, redis_password
from appengine_channel_emu.settings.table import NEED_AN_APP, Settings, described

__all__ = ["NEED_AN_APP", "BadSetting", "Settings", "add_flags", "described", "load", "redis_password"]
