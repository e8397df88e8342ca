"""Draws the diagrams of the documentation: ``python docs/images/diagrams.py``.

Each diagram is a card with its own light background, so it reads the same on a light and on a dark page.
"""

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent

INK, QUIET, LINE, PAPER = "#1f2937", "#5b6472", "#94a3b8", "#ffffff"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

_STROKE = f'fill="none" stroke="{LINE}" stroke-width="1.8" marker-end="url(#tip)"'

#: Fill and border by meaning.
COLOURS = {
    "input": ("#eef2f7", "#94a3b8"),
    "step": ("#e8eefc", "#5b7bd5"),
    "store": ("#e3f4ee", "#2f9e79"),
    "output": ("#fff3dc", "#d9972b"),
    "refusal": ("#fde8e8", "#d65a5a"),
}


class Box(NamedTuple):
    """A rounded box: its corner, its size, a title and lines below it."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str
    lines: Sequence[str] = ()

    @property
    def left(self) -> tuple[float, float]:
        """The middle of the left side."""
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> tuple[float, float]:
        """The middle of the right side."""
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self) -> tuple[float, float]:
        """The middle of the upper side."""
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> tuple[float, float]:
        """The middle of the lower side."""
        return self.x + self.width / 2, self.y + self.height

    def draw(self) -> str:
        """The box as SVG."""
        fill, border = COLOURS[self.kind]
        first = self.y + (self.height - 16 - 17 * len(self.lines)) / 2 + 13
        middle = self.x + self.width / 2
        parts = [
            f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="9" '
            f'fill="{fill}" stroke="{border}" stroke-width="1.4"/>',
            text(middle, first, self.title, "title"),
        ]
        parts += [text(middle, first + 19 + 17 * number, line) for number, line in enumerate(self.lines)]
        return "\n".join(parts)


#: Size, weight and colour of a line of text.
STYLES = {"title": (15, 600, INK), "note": (13, 400, QUIET)}


def text(x: float, y: float, words: str, style: str = "note", anchor: str = "middle") -> str:
    """A line of text; what is between backticks is set as code."""
    size, weight, colour = STYLES[style]
    spans = [
        f'<tspan font-family="{MONO}" font-size="{size - 0.8}">{escape(part)}</tspan>' if number % 2 else escape(part)
        for number, part in enumerate(words.split("`"))
    ]
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{colour}">'
        f"{''.join(spans)}</text>"
    )


def arrow(start: tuple[float, float], end: tuple[float, float], label: str = "", dashed: bool = False) -> str:
    """An arrow with one bend at most: straight where the ends are in line, else with a step half-way."""
    (x1, y1), (x2, y2) = start, end
    if abs(y1 - y2) < 1 or abs(x1 - x2) < 1:
        path = f"M{x1} {y1} L{x2} {y2}"
    else:
        half = (x1 + x2) / 2
        path = f"M{x1} {y1} H{half} V{y2} H{x2}"
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    line = f'<path d="{path}" {_STROKE}{dash}/>'
    if not label:
        return line
    return f"{line}\n{text((x1 + x2) / 2, min(y1, y2) - 9, label)}"


def card(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """A whole picture."""
    tip = (
        '<marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L10 5 L0 10 z" fill="{LINE}"/></marker>'
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="{FONT}">\n<title>{escape(title)}</title>\n<defs>{tip}</defs>\n'
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="14" fill="{PAPER}" stroke="#d5dbe5"/>'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def overview() -> str:
    """From a table to everything that another team needs."""
    table = Box(28, 96, 170, 58, "input", "a table", ["CSV, Parquet, Arrow"])
    spec = Box(28, 190, 170, 58, "input", "`model.yaml`", ["target, fields, gates"])
    store = Box(350, 28, 214, 288, "store", "model store", _STORED)
    api = Box(720, 28, 260, 64, "output", "HTTP and gRPC API", ["validation, OpenAPI, metrics"])
    image = Box(720, 122, 260, 64, "output", "container image", ["non-root, read-only, no torch"])
    package = Box(720, 216, 260, 100, "output", "`model-package/`", _PACKAGE)
    platforms = Box(
        720, 366, 260, 72, "output", "definitions", ["Kubernetes, KServe, SageMaker,", "Vertex AI, Azure ML, Compose"]
    )
    arrows = [
        arrow(table.right, (store.x, table.right[1]), "`deployer train`"),
        arrow(spec.right, (store.x, spec.right[1])),
        arrow((store.right[0], api.left[1]), api.left, "`deployer serve`"),
        arrow((store.right[0], image.left[1]), image.left, "`deployer image`"),
        arrow((store.right[0], package.left[1]), package.left, "`deployer handoff`"),
        arrow(package.bottom, platforms.top),
        text(package.bottom[0] + 12, 346, "`deployer deploy`", anchor="start"),
    ]
    boxes = (table, spec, store, api, image, package, platforms)
    title = "A table and a model.yaml become an API, an image and a handoff package"
    return card(1008, 466, title, [*(box.draw() for box in boxes), *arrows])


_STORED = [
    "",
    "one ONNX graph:",
    "raw fields in, calibrated",
    "predictions out",
    "",
    "contract of every field",
    "golden requests",
    "evaluation and report",
    "SHA-256 of every file",
]
_PACKAGE = ["documents, API spec, clients,", "tests, Dockerfile, alerts:", "all of it executed and verified"]


def training_run() -> str:
    """Which part of the table each step uses, from top to bottom."""
    lanes = {"training part": 32, "validation part": 262, "test part": 492}
    steps: list[tuple[int, int, str, Sequence[str]]] = [
        (0, 2, "read, check, split", ["by time, by group, by class or at random"]),
        (0, 0, "preprocess", ["scales, categories, words of texts"]),
        (0, 0, "fit the candidates", ["linear, trees, network"]),
        (1, 1, "choose", ["lowest loss, or the blend"]),
        (1, 1, "calibrate", ["probabilities, intervals, sets"]),
        (0, 1, "refit", ["the chosen model, on both parts"]),
        (2, 2, "export and compare", ["the graph equals the model"]),
        (2, 2, "evaluate", ["intervals, slices, latency, gates"]),
    ]
    width, left = 218, list(lanes.values())
    boxes = [
        Box(left[first], 74 + 84 * number, left[last] - left[first] + width, 58, "step", title, lines)
        for number, (first, last, title, lines) in enumerate(steps)
    ]
    save = Box(left[2], boxes[-1].y + 96, width, 58, "store", "save", ["version, golden requests, report"])
    lane = '<rect x="{}" y="20" width="226" height="{}" rx="9" fill="#f4f6fa"/>'
    parts = [lane.format(x - 4, save.y + 74) for x in left]
    parts += [text(x + width / 2, 46, name, "title") for name, x in lanes.items()]
    parts += [box.draw() for box in (*boxes, save)]
    parts += [_down(one, other) for one, other in pairwise((*boxes, save))]
    parts.append(text(save.top[0] - 10, save.y - 15, "if every gate passes", anchor="end"))
    return card(742, save.y + 108, "A training run: which part of the table each step uses", parts)


def _down(one: Box, other: Box) -> str:
    """An arrow to the next box: straight where one is above the other, else with a step to its side."""
    low, high = max(one.x, other.x), min(one.x + one.width, other.x + other.width)
    if low < high:
        return arrow(((low + high) / 2, one.y + one.height), ((low + high) / 2, other.y))
    x = other.x + other.width / 2
    return f'<path d="M{one.right[0]} {one.right[1]} H{x} V{other.y}" {_STROKE}/>'


def life_of_a_request() -> str:
    """The way of one request through the server, with what is refused where."""
    steps: list[tuple[str, Sequence[str], str, str]] = [
        ("connection", ["time and size of the headers"], "408, 431, 503", "too slow, too large, too busy"),
        ("gateway", ["route, API key, body, deadline"], "401, 404, 405, 413", "who, where, how much"),
        ("translator", ["native, or another server's protocol"], "400, 415", "cannot be read"),
        (
            "decode and validate",
            ["with a decoder compiled from the contract"],
            "422",
            "every problem of every row",
        ),
        ("batcher", ["rows that wait go together"], "503, 504", "no time left"),
        ("engine", ["ONNX Runtime: CPU, GPU or runner"], "500", "a fault of the service"),
        ("encode", ["predictions, model name and version"], "", ""),
    ]
    left, width, step = 196, 300, 84
    client = Box(left, 24, width, 40, "input", "client")
    boxes = [
        Box(left, 88 + step * number, width, 58, "step", title, lines)
        for number, (title, lines, _, _) in enumerate(steps)
    ]
    answer = Box(left, 88 + step * len(steps), width, 40, "input", "answer")
    parts = [box.draw() for box in (client, *boxes, answer)]
    parts += [arrow(one.bottom, other.top) for one, other in pairwise((client, *boxes, answer))]
    for box, (_, _, codes, why) in zip(boxes, steps, strict=True):
        if codes:
            refusal = Box(560, box.y, 216, 58, "refusal", codes, [why])
            parts += [arrow(box.right, refusal.left, dashed=True), refusal.draw()]
    bento = Box(24, boxes[1].y, 124, 58, "input", "BentoML", ["all other routes"])
    seen = Box(24, boxes[5].y, 124, 142, "output", "visible", ["metrics", "drift counts", "log lines", "", "no values"])
    parts += [bento.draw(), seen.draw(), arrow(boxes[1].left, bento.right)]
    parts.append(arrow((left, boxes[6].left[1]), (148, boxes[6].left[1]), dashed=True))
    return card(800, answer.y + 64, "The life of a request, and where it can be refused", parts)


def main() -> None:
    """Write every diagram next to this file."""
    for draw in (overview, training_run, life_of_a_request):
        (FOLDER / f"{draw.__name__.replace('_', '-')}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
