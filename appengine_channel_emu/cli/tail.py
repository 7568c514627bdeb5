"""``channel-emu tail TOKEN | --client-id ID``: a channel's messages as they come."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from appengine_channel_emu.cli.emulator import EmulatorError, add_emulator_option, address_of, ask
from appengine_channel_emu.cli.log_format import no_control
from appengine_channel_emu.cli.parser import CLEAN_STOP, Parser
from appengine_channel_emu.streams import forget_output

if TYPE_CHECKING:
    from appengine_channel_emu.testing import ChannelClient

ENDED = 1
INTERRUPTED = 130
A_DAY = 24 * 60
TURN_SECONDS = 20.0


def run(argv: Sequence[str]) -> int:
    """Print messages until the socket is closed (1, with the reason on standard error) or Ctrl-C (130)."""
    parser = Parser(
        prog="channel-emu tail",
        description="Print the messages of a channel as they come. It goes on when the emulator is restarted, and "
        "ends with the reason on standard error when the socket is closed.",
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("token", metavar="TOKEN", nargs="?", help="a token that the app gave out")
    target.add_argument("--client-id", metavar="ID", help="make a token for this client id, for a day")
    parser.add_argument("--json", action="store_true", help="each message as a JSON string, so always one line")
    parser.add_argument("--count", metavar="N", type=int, help="end, with 0, after this many messages")
    add_emulator_option(parser)
    options = parser.parse(argv)
    address = address_of(parser, options)
    try:
        return _tail(address, _token(address, options.token, options.client_id), options.json, options.count)
    except (EmulatorError, ConnectionError) as error:
        if isinstance(error, BrokenPipeError):
            # Whoever read from us has enough; what is left in the buffer must not fail at exit.
            forget_output()
            return CLEAN_STOP
        print(f"channel-emu tail: {error}", file=sys.stderr)
        return ENDED
    except KeyboardInterrupt:
        return INTERRUPTED


def _token(address: str, token: str | None, client_id: str | None) -> str:
    if token is not None:
        return token
    return str(ask(address, "/_emu/channels", {"client_id": client_id, "duration_minutes": A_DAY})["token"])


def _tail(address: str, token: str, as_json: bool, count: int | None) -> int:
    from appengine_channel_emu.testing import ChannelClient, NoMessage

    seen = 0
    with ChannelClient(f"http://{address}", token) as client:
        if not client.closed:
            print("channel-emu tail: open", file=sys.stderr, flush=True)
        while count is None or seen < count:
            try:
                message = client.receive(TURN_SECONDS)
            except NoMessage:
                if client.closed:
                    return _ended(client)
                continue
            seen += 1
            print(json.dumps(message) if as_json else _shown(message), flush=True)
    return CLEAN_STOP


def _shown(message: str) -> str:
    """A terminal shall take no orders from a message; a file gets it as it is."""
    return no_control(message) if sys.stdout.isatty() else message


def _ended(client: ChannelClient) -> int:
    error = client.error
    reason = f"{error.code} {error.description}".removeprefix("0 ") if error else "closed"
    print(f"channel-emu tail: the socket was closed: {reason}", file=sys.stderr)
    return ENDED
