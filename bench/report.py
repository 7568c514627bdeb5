"""Figures, each beside its bar."""

from __future__ import annotations


class Report:
    """Rows of figure, bar and verdict."""

    def __init__(self) -> None:
        self.missed = 0

    def row(self, what: str, figure: float, unit: str, bar: float, at_most: bool = True) -> None:
        """Print one figure beside its bar."""
        good = figure <= bar if at_most else figure >= bar
        self.missed += not good
        comparison = "<=" if at_most else ">="
        print(
            f"{'ok  ' if good else 'MISS'} {what:62} {figure:9.3f} {unit:6} (bar {comparison} {bar:g})",
            flush=True,
        )

    def note(self, what: str, figure: float, unit: str) -> None:
        """Print a figure that has no bar."""
        print(f"     {what:62} {figure:9.3f} {unit}", flush=True)
