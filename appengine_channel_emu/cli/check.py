"""``channel-emu check URL``: a conformance run against any server of the Channel API."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from appengine_channel_emu.cli.main import CLEAN_STOP, FAILED, VerbFailed
from appengine_channel_emu.cli.parsing import Parser, check_url

if TYPE_CHECKING:
    from appengine_channel_emu.conformance.results import Result

PROBE_APP = Path(__file__).parents[1] / "conformance" / "probe_app"


def parser() -> Parser:
    """The options of `check`."""
    made = Parser(
        prog="channel-emu check",
        description="Check a server of the Channel API, this emulator or another: tokens, limits, the dev wire, "
        "delivery, expiry. It takes a little over a minute, the length of the shortest token, and moves no clock. "
        f"Presence and the deadline are checked when the probe app runs at URL; it is in {PROBE_APP}. "
        "Exits with 0 unless something failed: deliberate differences are no failures.",
        examples=[("channel-emu check http://localhost:8080", "the emulator that runs there")],
    )
    made.add_argument("url", metavar="URL", help="where pages reach the server, such as http://localhost:8080")
    made.add_argument(
        "--api", metavar="URL", help="where RPCs are posted (default: URL/rpc_http); for dev_appserver its API server"
    )
    made.add_argument("--json", action="store_true", help="print JSON instead of the table")
    return made


def run(argv: Sequence[str]) -> int:
    """Check, and print a table; 1 when something failed."""
    made = parser()
    options = made.parse(argv)
    for name, url in (("URL", options.url), ("--api", options.api)):
        if url is not None:
            check_url(made, name, url, ("http", "https"))
    # Imported here so that --help and mistakes in the command answer at once.
    from appengine_channel_emu.conformance import run as conformance
    from appengine_channel_emu.conformance.server import CheckedServer, NotServed

    server = CheckedServer(options.url, options.api)
    try:
        server.token("check-first")
        server.get("/_ah/channel/jsapi")  # That somebody answers there, too.
    except NotServed as error:
        raise VerbFailed(str(error)) from None
    results = conformance.run(server, (lambda title, result: None) if options.json else _tell)
    counts = Counter(result.state for _, result in results)
    if options.json:
        described = [{"title": title, "state": each.state, "seen": each.seen} for title, each in results]
        print(json.dumps({"counts": counts, "checks": described}, indent=2))
    else:
        print(", ".join(f"{count} {state}" for state, count in counts.items()))
    return FAILED if counts["failed"] else CLEAN_STOP


def _tell(title: str, result: Result) -> None:
    print(f"{result.state:<11}  {title}{f'  ({result.seen})' if result.seen else ''}", flush=True)
