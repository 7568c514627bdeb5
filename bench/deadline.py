"""Handlers that take too long, in each kind of app, at the real deadline: does everything in behaviour.md 6 hold?

    python bench/deadline.py [--deadline 30] [--app python3|sdk|upstream]

Each kind of handler has an emulator of its own, and those of a kind of app run at the same time. Beside the request
that is cut another one is under way, and one comes after it. `late` is the time from the deadline to the visitor's
answer, in seconds; `left` is how many processes outlived the emulator.
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from command_line import parser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.slow import PLACES, Cut, Place, Slow

ROW = "{:9} {:10} {:8} {:>6} {:>6} {:>9} {:>5} {:>5}  {}"


def main() -> int:
    """Prints a table; 1 where something does not hold."""
    made = parser(__doc__, "about four minutes")
    made.add_argument("--deadline", type=float, default=30.0, help="seconds (30)")
    made.add_argument("--app", choices=sorted({place.app for place in PLACES}), help="this kind of app alone")
    options = made.parse_args()
    print(ROW.format("app", "threadsafe", "handler", "status", "late", "neighbour", "next", "left", ""))
    return max(try_all(place, options.deadline) for place in PLACES if options.app in (None, place.app))


def try_all(place: Place, deadline: float) -> int:
    """Every kind at once."""
    with ThreadPoolExecutor(len(place.kinds)) as pool:
        rows = list(pool.map(lambda kind: try_one(place, kind, deadline), place.kinds))
    return max(report(cut, left) for cut, left in rows)


def try_one(place: Place, kind: str, deadline: float) -> tuple[Cut, dict[int, str]]:
    """What came of it, and the processes left."""
    with tempfile.TemporaryDirectory() as folder:
        with Slow(place, deadline, Path(folder)) as slow:
            cut = slow.cut(kind)
        return cut, slow.left


def report(cut: Cut, left: dict[int, str]) -> int:
    """Prints a line."""
    faults = cut.faults() + [f"left: {pid} {command}" for pid, command in left.items()]
    threadsafe = "-" if cut.place.threadsafe is None else str(cut.place.threadsafe).lower()
    line = (cut.place.app, threadsafe, cut.kind, cut.status, f"{cut.late:.2f}", cut.neighbour, cut.next, len(left))
    print(ROW.format(*line, "; ".join(faults)), flush=True)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
