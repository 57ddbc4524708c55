"""What an action costs as a picture: plain bars in bare spans, an SVG that can be read on light and on dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

from benchmarks.kept import BENCHMARKS, PEERS, kept
from benchmarks.performance import Bar, action_bars, peer_bars, piece_bars
from benchmarks.report import Report

__all__ = ["draw", "picture"]

WIDTH: Final = 800
LABELS: Final = 330
"""Where bars begin: labels are left of it."""

BARS: Final = 390
GAP, VALUE = 6, 34
"""How far a bar's figure stands from it, and what it takes, with some air."""

LINE: Final = 24
HEAD: Final = 46

# what does not know which page it is on gets greys that can be read on both
_STYLE: Final = """
    text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #6e7781; }
    .title { font-weight: 600; font-size: 14px; }
    .note { font-size: 12px; }
    .ours { fill: #d4691e; }
    .other { fill: #3b82d0; }
    .bare { stroke: #6e7781; stroke-width: 1; stroke-dasharray: 4 3; }
    @media (prefers-color-scheme: light) {
      text { fill: #1f2328; }
      .note { fill: #59636e; }
    }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .note { fill: #9198a1; }
    }
"""


class Panel(NamedTuple):
    """Bars with one scale."""

    title: str
    note: str
    bars: Sequence[Bar]

    @property
    def height(self) -> int:
        """In pixels."""
        return HEAD + LINE * len(self.bars) + LINE // 2


def picture() -> str:
    """Return the picture of the runs that were kept."""
    return draw(kept(BENCHMARKS), kept(PEERS))


def draw(report: Report, peers: Report) -> str:
    """Return a picture of these runs."""
    panels = [
        Panel("An action", "time of the agent's thread", action_bars(report)),
        Panel("Pieces of it, each by itself", "CPU time of the thread", piece_bars(report)),
        Panel("Beside other SDKs: the agent's thread", "wall time", peer_bars(peers, "mean, wall")),
        Panel(
            "Beside other SDKs: the whole process",
            "CPU time, spans sent by OTLP",
            peer_bars(peers, "CPU of the process"),
        ),
    ]
    panels = [panel for panel in panels if panel.bars]
    height = sum(panel.height for panel in panels) + LINE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        "  <title>What an action costs, in bare OpenTelemetry spans with ten attributes</title>",
        f"  <style>{_STYLE}  </style>",
    ]
    top = LINE
    for panel in panels:
        lines += _panel(panel, top)
        top += panel.height
    return "\n".join([*lines, "</svg>"]) + "\n"


def _panel(panel: Panel, top: int) -> Iterator[str]:
    most = max(1.0, *(bar.row.ratio.median for bar in panel.bars))
    one = LABELS + BARS / most
    bottom = top + HEAD + LINE * len(panel.bars) - 6
    yield f'  <text class="title" x="12" y="{top}">{escape(panel.title)}</text>'
    yield f'  <text class="note" x="12" y="{top + 17}">{escape(panel.note)}</text>'
    yield f'  <text class="note" x="{one:.1f}" y="{top + 17}" text-anchor="middle">1 = bare span</text>'
    for place, bar in enumerate(panel.bars):
        y = top + HEAD + LINE * place
        ratio = bar.row.ratio.median
        width = max(1.0, BARS * ratio / most)
        kind = "ours" if bar.is_ours else "other"
        yield f'  <text x="{LABELS - 8}" y="{y}" text-anchor="end">{escape(bar.label)}</text>'
        yield f'  <rect class="{kind}" x="{LABELS}" y="{y - 12}" width="{width:.1f}" height="15" rx="2"/>'
        end = LABELS + width
        # a figure that the line would go through stands behind it
        beside = one if end < one < end + GAP + VALUE else end
        yield f'  <text x="{beside + GAP:.1f}" y="{y}">{ratio:.2f}</text>'
    yield f'  <line class="bare" x1="{one:.1f}" y1="{top + 24}" x2="{one:.1f}" y2="{bottom}"/>'
