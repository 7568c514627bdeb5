"""``channel-emu shim --path``: where Python's `google.appengine.api.channel` is."""

from __future__ import annotations

from collections.abc import Sequence

from appengine_channel_emu.cli.parser import CLEAN_STOP, Parser
from appengine_channel_emu.locations import COMPAT_PATH


def run(argv: Sequence[str]) -> int:
    """Print the folder that an app's PYTHONPATH needs."""
    parser = Parser(
        prog="channel-emu shim",
        description="The folder to put on an app's PYTHONPATH, for google.appengine.api.channel without an SDK.",
    )
    parser.add_argument("--path", action="store_true", required=True, help="print the folder")
    parser.parse(argv)
    print(COMPAT_PATH)
    return CLEAN_STOP
