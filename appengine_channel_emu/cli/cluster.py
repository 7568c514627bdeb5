"""``channel-emu cluster``: the emulators that are one service, and the Redis that they share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from appengine_channel_emu.cli.emulators import add_emulator_options, address_of, ask
from appengine_channel_emu.cli.main import CLEAN_STOP
from appengine_channel_emu.cli.parsing import Parser
from appengine_channel_emu.streams import one_line

_WAYS = {"stream": "websocket", "poll": "poll", "none": "between"}
"""The columns of a node's sockets: by what serves them, or between two polls."""

_MIB = 1024 * 1024


def parser() -> Parser:
    """The options of `cluster`."""
    made = Parser(
        prog="channel-emu cluster",
        description="Say which emulators are one service with a running one, how many sockets each serves, and how "
        "their Redis is. Exits with 1 when none answers, when it is alone, and while its Redis is away.",
    )
    made.add_argument("--json", action="store_true", help="print JSON, as /_emu/cluster answers it")
    add_emulator_options(made)
    return made


def run(argv: Sequence[str]) -> int:
    """Print it, aligned."""
    made = parser()
    options = made.parse(argv)
    found = ask(address_of(made, options), "/_emu/cluster")
    if options.json:
        print(json.dumps(found, indent=2))
        return CLEAN_STOP
    for line in _lines(found):
        print(one_line(line))
    return CLEAN_STOP


def _lines(found: dict[str, Any]) -> list[str]:
    redis, nodes = found["redis"], found["nodes"]
    bound = f" of {redis['max_memory'] / _MIB:.1f}" if redis["max_memory"] else ""
    facts = [
        f"service  {found['name']}, {len(nodes)} {'node' if len(nodes) == 1 else 'nodes'}",
        f"redis    {redis['url']}, version {redis['version']}",
        f"memory   {redis['memory'] / _MIB:.1f}{bound} MiB",
        f"answers  in {redis['round_trip'] * 1000:.1f} ms",
        f"epoch    {redis['epoch']}, schema {redis['schema']}",
        "",
    ]
    rows = [["node", "address", *_WAYS.values(), "last heartbeat"], *(_row(node) for node in nodes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = ("node", "address", "last heartbeat")
    return facts + [
        "  ".join(
            cell.ljust(width) if name in left else cell.rjust(width)
            for cell, width, name in zip(row, widths, rows[0], strict=True)
        ).rstrip()
        for row in rows
    ]


def _row(node: dict[str, Any]) -> list[str]:
    name = f"{node['name']} (asked)" if node["self"] else node["name"]
    counts = [f"{node['sockets'].get(way, 0):,}" for way in _WAYS]
    return [name, node["address"], *counts, f"{node['heard']:.1f} s ago"]
