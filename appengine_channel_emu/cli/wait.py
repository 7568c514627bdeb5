"""``channel-emu wait``: until an emulator and its app can be served, for scripts and CI."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from appengine_channel_emu.cli.emulator import EmulatorError, add_emulator_option, address_of, ask
from appengine_channel_emu.cli.parser import CLEAN_STOP, Parser

NOT_READY = 1
INTERVAL = 0.1


def run(argv: Sequence[str]) -> int:
    """0 as soon as it is ready, 1 when it was not within the time."""
    parser = Parser(
        prog="channel-emu wait",
        description="Wait until a running emulator and the app behind it are ready. Exits with 0 once they are, "
        "with 1 when they were not within the time.",
    )
    parser.add_argument("--timeout", metavar="SECONDS", default="30", help="how long to wait (default: 30)")
    add_emulator_option(parser)
    options = parser.parse(argv)
    address = address_of(parser, options)
    try:
        seconds = float(options.timeout)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 1e6:
        parser.error(f"--timeout: {options.timeout!r} is not a number of seconds from 0 on")
    give_up = time.monotonic() + seconds
    while True:
        try:
            ask(address, "/_emu/health/ready")
            return CLEAN_STOP
        except EmulatorError as error:
            if time.monotonic() >= give_up:
                print(f"channel-emu wait: not ready within {seconds:g} s: {error}", file=sys.stderr)
                return NOT_READY
        time.sleep(INTERVAL)
