"""The command line: a verb's module is imported only when the verb is used."""

from appengine_channel_emu.cli.main import entry_point, main

__all__ = ["entry_point", "main"]
