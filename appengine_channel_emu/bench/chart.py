"""The figures as an SVG picture, for light and for dark backgrounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from appengine_channel_emu.bench.measure import FEW_PAGES, Figures, machine, percentile

WIDTH, HEIGHT = 760, 430
LEFT, RIGHT, TOP, BOTTOM = 70, 730, 92, 320
SHARES = [0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999]
TICKS = {0.0: "fastest", 0.5: "p50", 0.9: "p90", 0.99: "p99", 0.999: "p99.9"}

_STYLES = ["many", "few"]
PAPER = """
  .paper { fill: #ffffff } .ink { fill: #1f2328 } .faint { fill: #59636e } .grid { stroke: #d1d9e0 }
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif }
  .title { font-size: 17px; font-weight: 600 } .figure { font-size: 19px; font-weight: 600 }
  .strong { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } .ink { fill: #e6edf3 } .faint { fill: #9198a1 } .grid { stroke: #30363d }
  }
"""
"""The style of every chart: its background, and its texts."""

_STYLE = """
  .many { stroke: #0b62c4 } .few { stroke: #b35900 } .line { fill: none; stroke-width: 2.5 }
  .few.line { stroke-dasharray: 7 4 }
  @media (prefers-color-scheme: dark) {
    .many { stroke: #6cb6ff } .few { stroke: #f0a050 }
  }
"""


def draw(measured: Sequence[Figures]) -> str:
    """A whole SVG document: the latency that each share of the messages stays below, and the other figures.

    Of one transport, with few pages and with all; or of two, with all.
    """
    curves = _curves(measured)
    top = _nice_top(max(percentile(times, 0.999) for times in curves.values()))
    rows = [": ".join(row) for figures in measured for row in [("transport", figures.transport), *figures.rows()]]
    title = f"Delivery latency with {measured[0].pages:,} pages"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(title)}: {escape("; ".join(rows))}">',
        f"<style>{PAPER}{_STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        text(24, 34, title, "ink title"),
        text(24, 54, f"milliseconds from send_message to the page; {machine()}", "faint"),
        *_legend(list(zip(_STYLES, curves, strict=False))),
        *_axes(top),
        *[_curve(times, top, kind) for kind, times in zip(_STYLES, curves.values(), strict=False)][::-1],
        *_tiles(measured),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _curves(measured: Sequence[Figures]) -> dict[str, list[float]]:
    """Latencies, by what the legend says."""
    if len(measured) > 1:
        return {figures.transport: figures.delivery for figures in measured}
    (figures,) = measured
    return {f"{figures.pages:,} pages open": figures.delivery, f"{FEW_PAGES} pages open": figures.few}


def _legend(entries: list[tuple[str, str]]) -> list[str]:
    parts = []
    for number, (kind, label) in enumerate(entries):
        x = LEFT + 14 + 190 * number
        parts.append(f'<path class="line {kind}" d="M{x} 76h28"/>')
        parts.append(text(x + 36, 80, label, "ink"))
    return parts


def _axes(top: float) -> list[str]:
    parts = []
    for number in range(5):
        value = top * number / 4
        y = _y(value, top)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>')
        parts.append(text(LEFT - 10, y + 4, f"{value:g}", "faint", "end"))
    for share, name in TICKS.items():
        parts.append(text(_x(share), BOTTOM + 20, name, "faint", "middle"))
    return parts


def _tiles(measured: Sequence[Figures]) -> list[str]:
    tiles = [
        (_figures([each.fan_out_per_second for each in measured], ",.0f", "/s"), "fan-out"),
        (_figures([each.throughput_per_second for each in measured], ",.0f", "/s"), "throughput"),
        (_figures([each.idle_cpu for each in measured], ".1f", " %"), "CPU of idle pages"),
        (_figures([each.page_kib for each in measured], ".1f", " KiB"), "memory of a page"),
    ]
    parts = [f'<path class="grid" d="M24 {BOTTOM + 38}H{WIDTH - 24}"/>']
    for number, (figure, label) in enumerate(tiles):
        x = 24 + number * (WIDTH - 48) / len(tiles)
        parts.append(text(x, BOTTOM + 68, figure, "ink figure"))
        parts.append(text(x, BOTTOM + 88, label, "faint"))
    return parts


def _figures(values: Sequence[float | None], form: str, unit: str) -> str:
    return " · ".join("?" if value is None else format(value, form) for value in values) + unit


def _curve(times: list[float], top: float, kind: str) -> str:
    points = " ".join(f"{_x(share):.1f},{_y(min(percentile(times, share), top), top):.1f}" for share in SHARES)
    return f'<polyline class="line {kind}" points="{points}"/>'


def _x(share: float) -> float:
    """Each further nine takes the same room: 0, 90, 99, 99.9 percent."""
    return LEFT + (RIGHT - LEFT - 30) * -math.log10(1 - share) / 3


def _y(value: float, top: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * value / top


def _nice_top(value: float) -> float:
    """The least of 1, 2, 4 and 8 times a power of ten that is no less."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 4, 8, 10) if power * step >= value)


def text(x: float, y: float, said: str, kind: str, anchor: str = "start") -> str:
    """A text at that place; `kind` are classes of its style."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'
