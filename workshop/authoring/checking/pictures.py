"""A picture holds what its text form says: the same boxes, arrows, states, squares, bars.

Fonts and places are the machine's, and are not compared.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from workshop.show.graphs import MARKS

SVG = "{http://www.w3.org/2000/svg}"
SOURCE = re.compile(r'src="data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)"')
ALT = re.compile(r'alt="([^"]*)"')
FEWEST_WORDS = 10  # characters of alt text
HEADS = ("tasks", "edges")  # what stands above the indented names
ARROW = re.compile(r"(.+) -> (.+)")
CURE = "make record, or use draw or figure"


def picture_flaws(data: Any) -> Iterator[str]:
    """Return what is wrong with the pictures of an output: without words, or not what they say.

    Args:
        data: the output's forms by their type, as nbformat has them.
    """
    text, shown = str(data.get("text/plain", "")), str(data.get("text/html", ""))
    bare = [kind for kind in data if kind.startswith("image/")]
    if bare or "<svg" in shown:
        yield f"has a picture that is not compared, as {(bare or ['<svg>'])[0]}: use draw or figure"
    for image in re.findall(r"<img\b[^>]*>", shown):
        source = SOURCE.search(image)
        alt = ALT.search(image)
        words = len(alt[1]) if alt else 0
        if words < FEWEST_WORDS:
            told = f"a picture with {words} characters of alt text, at least {FEWEST_WORDS}"
            yield f"has {told}: use draw or figure"
        if not text:
            yield "has a picture without a text form: use draw or figure"
        elif not source:
            yield "has a picture that is not compared, as it is no SVG: use draw or figure"
        else:
            yield from (f"has a picture that {flaw}: {CURE}" for flaw in _compare(source[1], text))


def _compare(encoded: str, text: str) -> Iterator[str]:
    """Return how a picture differs from its text form."""
    try:
        svg = base64.b64decode(encoded, validate=True).decode()
        root = ElementTree.fromstring(svg)
    except (binascii.Error, UnicodeDecodeError, ElementTree.ParseError):
        yield "cannot be read"
        return
    if root.find(f"{SVG}g[@class='graph']") is not None:
        drawn, told = _graph_of(root), _graph_in(text)
    elif "matplotlib" in svg:
        drawn = set(re.findall(r"<!-- (.*?) -->", svg))  # its labels, which it draws as paths
        told = {line.strip().rpartition(": ")[0] or line.strip() for line in text.splitlines()[1:]}
        drawn &= told  # axes have numbers and a title too
    elif root.find(f"{SVG}image") is not None:  # of a UI; what is in it was written down with it
        drawn, told = set((root.findtext(f"{SVG}desc") or "").splitlines()), set(text.splitlines())
    else:
        drawn, told = _grid_of(root), _grid_in(text)
    if missing := sorted(told - drawn):
        yield f"lacks {len(missing)} of its text's {len(told)}, such as '{missing[0]}'"
    if more := sorted(drawn - told):
        yield f"shows {len(more)} that its text lacks, such as '{more[0]}'"


def _graph_of(root: Any) -> set[str]:
    """Return the boxes of a drawn graph, with their states, and its arrows."""
    found = set()
    for part in root.iter(f"{SVG}g"):
        title = part.findtext(f"{SVG}title")
        if part.get("class") == "edge":
            found.add(title.replace("->", " -> "))
        elif part.get("class") == "node":
            lines = [line.text or "" for line in part.iter(f"{SVG}text")]
            found.add(_with_state(title, lines[-1].partition(" · ")[2] if lines else ""))
    return found


def _graph_in(text: str) -> set[str]:
    """Return the boxes and the arrows that a graph's text names.

    It is a DAG's, with its tasks under a title, or the lines of a graph of one's own.
    """
    title, *lines = text.splitlines()
    of_a_dag = lines[:1] == ["tasks"]
    found = set()
    for line in lines if of_a_dag else [title, *lines]:
        name, _, behind = line.strip().replace('"', "").partition(" [")
        if arrow := ARROW.fullmatch(name):
            found.add(f"{arrow[1]} -> {arrow[2]}")
            found |= set() if of_a_dag else {arrow[1], arrow[2]}
        elif line not in HEADS:
            found.add(_with_state(name, behind.removesuffix("]")))
    return found


def _with_state(name: str, state: str) -> str:
    return f"{name} [{state}]" if state else name


def _grid_of(root: Any) -> set[str]:
    """Return the squares of a drawn grid: task, run and mark, found by where they stand."""
    texts = [(float(t.get("x")), float(t.get("y")), t.text) for t in root.iter(f"{SVG}text")]
    names = {y: text for x, y, text in texts if x == 8}
    top = min(y for _, y, _ in texts)
    runs = {x: text for x, y, text in texts if y == top}
    return {f"{names[y]} {runs[x]} {mark}" for x, y, mark in texts if x in runs and y != top}


def _grid_in(text: str) -> set[str]:
    """Return the squares that a grid's text names: the lines of a DataFrame of states."""
    runs, *rows = [line.split() for line in text.splitlines()]
    return {
        f"{name} {run} {MARKS.get(state, '?')}"
        for name, *states in rows
        for run, state in zip(runs, states, strict=False)
    }
