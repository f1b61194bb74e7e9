"""A picture with its meaning as text, and the engine that draws graphs."""

import base64
import html
import os
import re
from functools import cache
from typing import Any


class Picture:
    """An image for people and, as text, its meaning for readers without images and for checks."""

    def __init__(self, svg: str, text: str, alt: str) -> None:
        self.svg = svg
        self.text = text
        self.alt = alt

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        # An img with its data inside survives an untrusted notebook; an inline svg does not.
        data = base64.b64encode(self.svg.encode()).decode()
        alt = html.escape(self.alt)
        style = "max-width:100%;height:auto;background:#ffffff;border-radius:6px"
        return f'<img alt="{alt}" style="{style}" src="data:image/svg+xml;base64,{data}">'


def render(graph: str) -> str:
    """Return Graphviz source as SVG, drawn in this process by the engine inside pygraphviz."""
    svg: bytes = parse(graph).draw(format="svg", prog="dot")
    return re.sub(r'<g id="node.*?</g>', _centred, svg.decode(), flags=re.DOTALL)


def parse(graph: str) -> Any:
    """Return Graphviz source as a graph of pygraphviz."""
    return _engine().AGraph(string=graph)


@cache
def _engine() -> Any:
    """Return pygraphviz after a first drawing that nobody sees.

    The first can lose labels, and fontconfig warns on stderr then.
    """
    import pygraphviz

    keep, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        pygraphviz.AGraph(string="digraph { a }").draw(format="svg", prog="dot")
    finally:
        os.dup2(keep, 2)
        os.close(keep)
        os.close(nowhere)
    return pygraphviz


def _centred(box: re.Match[str]) -> str:
    """Return a box with its text at its middle.

    Graphviz writes where each line begins in a font of its own; the browser has another.
    """
    shape = re.search(r' (?:d|points)="([^"]+)"', box[0])
    sides = [float(x) for x in re.findall(r"(-?[\d.]+),", shape[1])] if shape else []
    if not sides:
        return box[0]
    middle = f'text-anchor="middle" x="{(min(sides) + max(sides)) / 2:.2f}"'
    return re.sub(r'text-anchor="start" x="[^"]*"', middle, box[0])
