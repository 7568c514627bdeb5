"""A conformance run: every check, in order."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from appengine_channel_emu.conformance import checks, stream_checks
from appengine_channel_emu.conformance.results import Check, Result
from appengine_channel_emu.conformance.server import CheckedServer, NotServed
from appengine_channel_emu.testing.stream import StreamRefused
from appengine_channel_emu.testing.transports import EmulatorAway

QUICK = checks.check.quick + stream_checks.checks.quick
SLOW = checks.check.slow + stream_checks.checks.slow


def run(server: CheckedServer, report: Callable[[str, Result], None]) -> list[tuple[str, Result]]:
    """Every check, in order; `report` hears of each as it ends."""
    results = []
    with ThreadPoolExecutor(len(SLOW)) as beside:
        slow = [(title, beside.submit(run_one, function, server)) for title, function in SLOW]
        for title, function in QUICK:
            results.append((title, run_one(function, server)))
            report(*results[-1])
        for title, outcome in slow:
            results.append((title, outcome.result()))
            report(*results[-1])
    return results


def run_one(function: Check, server: CheckedServer) -> Result:
    """One check: a server that does not answer has failed it."""
    try:
        return function(server)
    except (NotServed, StreamRefused, EmulatorAway) as error:
        return Result("failed", str(error))
