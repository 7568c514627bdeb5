"""``channel-emu events``: what happened, and with ``--follow`` what happens."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from appengine_channel_emu.cli.emulators import NoEmulator, add_emulator_options, address_of, ask
from appengine_channel_emu.cli.main import CLEAN_STOP, INTERRUPTED
from appengine_channel_emu.cli.parsing import Parser, whole_number
from appengine_channel_emu.hints import nearest
from appengine_channel_emu.streams import forget_output, nobody_reads, one_line

SHOWN = 20
"""Events of the past, if no other number is asked for."""

MOST = 1000
"""That one answer of the emulator has."""

WAIT_SECONDS = 2.0
"""Of one request for events that are to come; after each it is looked whether anybody reads what is printed."""

AWAY_SECONDS = 60.0
"""For which an emulator that is followed may be away, as when it is restarted."""

RETRY_SECONDS = 0.5


def parser() -> Parser:
    """The options of `events`."""
    made = Parser(
        prog="channel-emu events",
        description="Print what happened in a running emulator, oldest first: channels, sockets, presence, messages "
        "that were dropped and why. Times are the emulator's. With --follow it goes on until Ctrl-C, also when the "
        "emulator is restarted.",
        examples=[
            ("channel-emu events --follow", "the last events, and each new one"),
            ("channel-emu events --kind message_dropped", "the last messages that reached nobody"),
        ],
    )
    made.add_argument("-f", "--follow", action="store_true", help="go on with each event as it happens")
    made.add_argument("--json", action="store_true", help="each event as a JSON object on a line")
    made.add_argument("--last", metavar="N", default=str(SHOWN), help=f"how many of the past (default: {SHOWN})")
    made.add_argument("--kind", metavar="KIND", help="of this kind alone, such as message_dropped")
    made.add_argument("--client-id", metavar="ID", help="of this client id alone")
    add_emulator_options(made)
    return made


def run(argv: Sequence[str]) -> int:
    """Print them; Ctrl-C ends a `--follow` with 130."""
    made = parser()
    options = made.parse(argv)
    last = whole_number(made, "--last", options.last, 0, MOST)
    source = _Events(address_of(made, options), options)
    try:
        past = source.past(last)
        for event in past:
            _print(event, options.json)
        if last and not past and options.kind is not None:
            hint = nearest(options.kind, source.kinds())
            print(
                f"channel-emu events: no event of the kind {options.kind!r} is kept{hint}", file=sys.stderr, flush=True
            )
        if options.follow:
            for event in source.coming():
                _print(event, options.json)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        forget_output()
    return CLEAN_STOP


class _Events:
    """The events of the emulator at `address` that `options` ask for."""

    def __init__(self, address: str, options: argparse.Namespace) -> None:
        self._address = address
        filters = {"kind": options.kind, "client_id": options.client_id}
        self._filters = {name: value for name, value in filters.items() if value is not None}
        self._next = 0
        self._pid = self._ask_pid()

    def past(self, count: int) -> list[dict[str, Any]]:
        """The last `count` of those that happened."""
        # One at the least: the answer says where those begin that are to come.
        events = self._ask(last=max(count, 1))
        return events[-count:] if count else []

    def kinds(self) -> set[str]:
        """Those of the latest events, whatever is asked for."""
        return {event["kind"] for event in ask(self._address, f"/_emu/events?last={MOST}")["events"]}

    def coming(self) -> Iterator[dict[str, Any]]:
        """Each one from here on, for as long as anybody reads. Raises `NoEmulator` when the emulator stays away."""
        while not nobody_reads():
            try:
                yield from self._ask(after=self._next, wait=WAIT_SECONDS)
            except NoEmulator as error:
                self._wait_for_return(error)

    def _ask(self, **query: float) -> list[dict[str, Any]]:
        words = urlencode(query | self._filters)
        answer = ask(self._address, f"/_emu/events?{words}", seconds=query.get("wait", 0))
        self._next = answer["next"]
        events: list[dict[str, Any]] = answer["events"]
        return events

    def _wait_for_return(self, error: NoEmulator) -> None:
        print("channel-emu events: the emulator is away", file=sys.stderr, flush=True)
        give_up = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < give_up and not nobody_reads():
            time.sleep(RETRY_SECONDS)
            with contextlib.suppress(NoEmulator):
                pid = self._ask_pid()
                print("channel-emu events: it is there again", file=sys.stderr, flush=True)
                if pid != self._pid:
                    # Another one, which counts its events from 1.
                    self._pid, self._next = pid, 0
                return
        raise error

    def _ask_pid(self) -> int:
        return int(ask(self._address, "/_emu/status")["pid"])


def _print(event: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(event), flush=True)
        return
    seconds = event["time"]
    moment = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))}.{int(seconds % 1 * 1000):03}"
    who = f" [{event['client_id']}]" if event["client_id"] else ""
    print(one_line(f"{moment} {event['kind']:<18} {event['text']}{who}"), flush=True)
