"""The presenter's notes, slide by slide, on one HTML page."""

import html
from pathlib import Path

from workshop.authoring.editions.pages import write_page
from workshop.ground import BUILD
from workshop.ground.talk import read_slides

NOTES = BUILD / "present" / "notes.html"
ROW = (
    '<tr id="slide-{0}"><td class=number>{0}</td><td>{1}</td>'
    "<td class=number>{2}</td><td class=number>{3}</td><td>{4}</td></tr>"
)


def write_notes(out: Path = NOTES) -> Path:
    """Write the presenter's notes, slide by slide, and return the page."""
    rows, long, short = [], 0.0, 0.0
    for slide in read_slides():
        plans = _when(long, slide.minutes, slide.how), _when(short, slide.short, slide.short_how)
        cells = (str(slide.number), slide.title, *plans, slide.note)
        rows.append(ROW.format(*map(html.escape, cells)))
        long += slide.minutes
        short += slide.short
    return write_page("notes.html", out, long=f"{long:g}", short=f"{short:g}", rows="\n".join(rows))


def _when(begins: float, minutes: float, how: str) -> str:
    clock = f"{int(begins)}:{begins % 1 * 60:02.0f}"
    return f"{clock} · {minutes:g} min · {how}" if minutes else "–"
