"""How every script of this folder is called: `--help` says what it measures, and how long that takes."""

from __future__ import annotations

import argparse


def parser(description: str | None, takes: str | None = None) -> argparse.ArgumentParser:
    """A parser to add options to; `description` is the script's docstring, `takes` how long it runs unless told."""
    return argparse.ArgumentParser(
        description=description,
        epilog=f"It takes {takes} in make bench." if takes else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
