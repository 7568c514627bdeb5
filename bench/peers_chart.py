"""The figures of peers.py as an SVG picture: a bar for each server, for light and for dark backgrounds."""

from __future__ import annotations

import math
import sys
from html import escape
from pathlib import Path

from peer_costs import Amounts, Costs, figure

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appengine_channel_emu.bench.chart import PAPER, text
from appengine_channel_emu.bench.measure import machine

WIDTH, PANEL_WIDTH, LEFT, TOP = 760, 350, 24, 78
ROW, HEAD, GAP = 22, 26, 20
NAMES_WIDTH, FIGURES_WIDTH = 128, 56
REAL = "dev_appserver.py"
"""Its figures may be a hundred times the others', whose bars would vanish beside its."""

_STYLE = """
  .bar { fill: #8c959f } .ours { fill: #0b62c4 } .cut { stroke: #ffffff; stroke-width: 3 }
  @media (prefers-color-scheme: dark) {
    .bar { fill: #6e7681 } .ours { fill: #6cb6ff } .cut { stroke: #0d1117 }
  }
"""


def draw(costs: dict[str, Costs], amounts: Amounts) -> str:
    """A whole SVG document."""
    pages, some = f"{amounts.pages:,} pages", f"{amounts.pages_with_posts:,} pages"
    panels = {
        f"CPU of a message, one send to {pages}, µs": "fan_out_cpu",
        f"CPU of a message, a POST each, {some}, µs": "post_cpu",
        f"delivery with {pages}, p50, ms": "p50",
        f"delivery with {pages}, p99, ms": "p99",
        "messages a second (more is better)": "post_rate_all",
        "memory of an idle page, KiB": "page",
    }
    panel_height = HEAD + ROW * len(costs) + GAP
    bottom = TOP + panel_height * ((len(panels) + 1) // 2)
    height = bottom + (ROW if REAL in costs else 0)
    title = "What a message costs, beside others"
    ours = ", ".join(f"{label}: {figure(getattr(next(iter(costs.values())), name))}" for label, name in panels.items())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(f"{title}; {next(iter(costs))}: {ours}")}">',
        f"<style>{PAPER}{_STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="6"/>',
        text(LEFT, 34, title, "ink title"),
        text(LEFT, 54, f"medians of {amounts.rounds} rounds in one run; {machine()}; less is better", "faint"),
    ]
    for number, (label, name) in enumerate(panels.items()):
        x, y = LEFT + number % 2 * (PANEL_WIDTH + 12), TOP + number // 2 * panel_height
        parts += [text(x, y + 12, label, "ink strong"), *_bars(x, y + HEAD, name, costs)]
    if REAL in costs:
        parts.append(text(LEFT, bottom, f"{REAL}: once, with 200 pages and, for one send to all, with 500", "faint"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bars(x: float, y: float, name: str, costs: dict[str, Costs]) -> list[str]:
    values = {server: getattr(each, name) for server, each in costs.items()}
    longest = max(value for server, value in values.items() if server != REAL)
    room = PANEL_WIDTH - NAMES_WIDTH - FIGURES_WIDTH
    parts = []
    for number, (server, value) in enumerate(values.items()):
        top = y + number * ROW
        parts.append(text(x + NAMES_WIDTH - 8, top + 12, server, "faint", "end"))
        known = not math.isnan(value)
        width = room * min(value / longest, 1.0) if known else 0.0
        if known:
            kind, left = "bar" if number else "ours", x + NAMES_WIDTH
            parts.append(f'<rect class="{kind}" x="{left}" y="{top}" width="{width:.1f}" height="15" rx="2"/>')
        if known and value > longest:
            parts.append(f'<path class="cut" d="M{x + NAMES_WIDTH + room - 16} {top + 17}l6 -19"/>')
        parts.append(text(x + NAMES_WIDTH + width + 6, top + 12, figure(value), "ink"))
    return parts
