"""The command line: one module per verb, imported only when its verb is used."""

from appengine_channel_emu.cli.main import entry_point, main

__all__ = ["entry_point", "main"]
