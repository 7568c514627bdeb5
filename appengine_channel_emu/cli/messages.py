"""The verbs of messages: send and tail."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from appengine_channel_emu.cli.emulators import NoEmulator, add_emulator_options, address_of, ask
from appengine_channel_emu.cli.main import CLEAN_STOP, FAILED, INTERRUPTED, VerbFailed
from appengine_channel_emu.cli.parsing import Parser, whole_number
from appengine_channel_emu.hints import reason
from appengine_channel_emu.streams import forget_output, no_control, nobody_reads

if TYPE_CHECKING:
    from appengine_channel_emu.testing import ChannelClient

A_DAY = 24 * 60
MOST_COUNTED = 1_000_000
TAIL_TURN_SECONDS = 2.0
"""After which it is looked whether anybody reads what is printed."""


def send_parser() -> Parser:
    """The options of `send`."""
    parser = Parser(
        prog="channel-emu send",
        description="Send a message to every open socket of a client id. Exits with 0 when there was one, else with 1.",
        examples=[
            ("channel-emu send anna 'It is your turn'", "to Anna's pages"),
            ("echo '{\"score\": 1}' | channel-emu send anna", "what standard input has"),
        ],
    )
    parser.add_argument("client_id", metavar="CLIENT_ID", help="the client id, or a token")
    parser.add_argument(
        "message", metavar="MESSAGE", nargs="?", help="without it, standard input, less a newline at its end"
    )
    add_emulator_options(parser)
    return parser


def send(argv: Sequence[str]) -> int:
    """Send, and say to how many sockets; 1 when it was to none."""
    parser = send_parser()
    options = parser.parse(argv)
    address = address_of(parser, options)
    # As bytes: an argument of another encoding, or a file, is sent as it is.
    message = _standard_input() if options.message is None else os.fsencode(options.message)
    request = {"client_id": options.client_id, "message_base64": base64.b64encode(message).decode("ascii")}
    sent = ask(address, "/_emu/messages", request)
    count = sent["delivered_to"]
    if not count:
        print(f"delivered to no socket: {sent['reason']}")
        return FAILED
    print(f"delivered to {count} {'socket' if count == 1 else 'sockets'}")
    return CLEAN_STOP


def _standard_input() -> bytes:
    """All of it, less a line end at its end."""
    if sys.stdin is None:
        raise VerbFailed("standard input is closed; give the message behind the client id")
    if sys.stdin.isatty():
        print("channel-emu send: type the message, then Ctrl-D on a line of its own", file=sys.stderr, flush=True)
    try:
        return sys.stdin.buffer.read().removesuffix(b"\n")
    except OSError as error:
        raise VerbFailed(f"standard input cannot be read: {reason(error)}") from None


def tail_parser() -> Parser:
    """The options of `tail`."""
    parser = Parser(
        prog="channel-emu tail",
        description="Print the messages of a channel as they come, over a WebSocket or by long polls. It goes on when "
        "the emulator is restarted, and ends with the reason on standard error when the socket is closed.",
        examples=[("channel-emu tail --client-id anna", "as one more page of Anna's would get them")],
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("token", metavar="TOKEN", nargs="?", help="a token that the app gave out")
    target.add_argument("--client-id", metavar="ID", help="make a token for this client id, for a day")
    parser.add_argument("--json", action="store_true", help="each message as a JSON string, so always one line")
    parser.add_argument("--count", metavar="N", help="end, with 0, after this many messages")
    add_emulator_options(parser)
    return parser


def tail(argv: Sequence[str]) -> int:
    """Print messages until the socket is closed (1, with the reason on standard error) or Ctrl-C (130)."""
    parser = tail_parser()
    options = parser.parse(argv)
    count = None if options.count is None else whole_number(parser, "--count", options.count, 1, MOST_COUNTED)
    address = address_of(parser, options)
    try:
        return _tail(address, _token(address, options.token, options.client_id), options.json, count)
    except BrokenPipeError:
        # Whoever read from us has enough; what is left in the buffer must not fail at exit.
        forget_output()
        return CLEAN_STOP
    except ConnectionError as error:
        raise NoEmulator(str(error)) from None
    except KeyboardInterrupt:
        return INTERRUPTED


def _token(address: str, token: str | None, client_id: str | None) -> str:
    if token is not None:
        ask(address, "/_emu/health/live")
        return token
    wanted = {"client_id": client_id, "duration_minutes": A_DAY, "opened_by": "tail"}
    return str(ask(address, "/_emu/channels", wanted)["token"])


def _tail(address: str, token: str, as_json: bool, count: int | None) -> int:
    from appengine_channel_emu.testing import ChannelClient, NoMessage

    seen = 0
    with ChannelClient(f"http://{address}", token, transport="stream") as client:
        if not client.closed:
            print("channel-emu tail: open", file=sys.stderr, flush=True)
        while count is None or seen < count:
            try:
                message = client.receive(TAIL_TURN_SECONDS)
            except NoMessage:
                if client.closed:
                    raise VerbFailed(f"the socket was closed: {_why_closed(client)}") from None
                if nobody_reads():
                    break
                continue
            seen += 1
            print(json.dumps(message) if as_json else _shown(message), flush=True)
    return CLEAN_STOP


def _shown(message: str) -> str:
    """A terminal shall take no orders from a message; a file gets it as it is."""
    return no_control(message) if sys.stdout.isatty() else message


def _why_closed(client: ChannelClient) -> str:
    error = client.error
    return f"{error.code} {error.description}".removeprefix("0 ") if error else "closed"
