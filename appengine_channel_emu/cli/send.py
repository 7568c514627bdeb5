"""``channel-emu send CLIENT_ID [MESSAGE]``: what an app's send_message does, by hand."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Sequence

from appengine_channel_emu.cli.emulator import EmulatorError, add_emulator_option, address_of, ask
from appengine_channel_emu.cli.parser import CLEAN_STOP, Parser

NOT_DELIVERED = 1


def run(argv: Sequence[str]) -> int:
    """Send, and say to how many sockets; 1 when it was to none."""
    parser = Parser(
        prog="channel-emu send",
        description="Send a message to every open socket of a client id. Exits with 0 when there was one, else with 1.",
    )
    parser.add_argument("client_id", metavar="CLIENT_ID", help="the client id, or a token")
    parser.add_argument(
        "message", metavar="MESSAGE", nargs="?", help="without it, standard input, less a newline at its end"
    )
    add_emulator_option(parser)
    options = parser.parse(argv)
    address = address_of(parser, options)
    # As bytes: an argument of another encoding, or a file, is sent as it is.
    message = _read_stdin() if options.message is None else os.fsencode(options.message)
    request = {"client_id": options.client_id, "message_base64": base64.b64encode(message).decode("ascii")}
    try:
        sent = ask(address, "/_emu/messages", request)
    except EmulatorError as error:
        print(f"channel-emu send: {error}", file=sys.stderr)
        return NOT_DELIVERED
    count = sent["delivered_to"]
    if not count:
        print(f"delivered to no socket: {sent['reason']}")
        return NOT_DELIVERED
    print(f"delivered to {count} {'socket' if count == 1 else 'sockets'}")
    return CLEAN_STOP


def _read_stdin() -> bytes:
    return sys.stdin.buffer.read().removesuffix(b"\n")
