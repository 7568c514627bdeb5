"""Fuzzing guided by coverage, with atheris: `python -m tests.fuzz.coverage_guided NAME [--seconds 1800]`.

NAME is `surface`, which gives requests to the front; `wire`, which gives bytes to a running server's connections; or
`twins`, which gives them to one with the short path and to one without. What is found is written to a file, which
`--input FILE` tries again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

FOLDER = Path(__file__).parent
HANG_SECONDS = 20


def main() -> None:
    """Fuzz until the time is over; atheris ends the process, with 0 unless it has found something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=["surface", "wire", "twins"])
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--found", type=Path, help="where inputs that add coverage are kept (default: nowhere)")
    parser.add_argument("--input", type=Path, help="try only this file")
    options = parser.parse_args()
    with atheris.instrument_imports(include=["appengine_channel_emu", "waitress"]):
        from tests.fuzz import target, twins
    if options.target != "twins":
        target.end_waits()
    made = {"surface": target.Surface, "wire": target.Wire, "twins": twins.Twins}[options.target]()

    def feed(data: bytes) -> None:
        made.feed(data)

    corpus = FOLDER / "corpus" / options.target
    with tempfile.TemporaryDirectory() as scratch:
        flags = ["-max_len=4096", f"-dict={FOLDER / 'words.dict'}", f"-timeout={HANG_SECONDS}", "-rss_limit_mb=1500"]
        if options.input:
            arguments = [str(options.input)]
        else:
            found = options.found or Path(scratch)
            found.mkdir(exist_ok=True)
            arguments = [f"-max_total_time={options.seconds}", f"-seed={options.seed}", str(found), str(corpus)]
        atheris.Setup([sys.argv[0], *flags, *arguments], feed)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
