"""The guard: what nbval and papermill do not see in a stored notebook, each with its cure."""

import copy
import csv
import re
import statistics
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from workshop.authoring.checking.generated import dag_file
from workshop.authoring.checking.headless import code_of
from workshop.authoring.checking.links import link_flaws
from workshop.authoring.checking.pictures import picture_flaws
from workshop.authoring.checking.recording import normalise
from workshop.ground import ROOT
from workshop.ground.cells import EXERCISE, HEADING, OWN_FILE, SLIDE, Step, slides_of
from workshop.ground.talk import read_slides

OF_ONE_MACHINE = re.compile(
    r"/home/|/root/|/Users/|/tmp/|/var/folders/|gcp_spy-\w|127\.0\.0\.1:\d|localhost:\d"
)
SECRETS = re.compile(r"/services/T\w+|hooks\.slack\.com|xox[abp]-|token=|BEGIN [A-Z ]*PRIVATE KEY")
PARAMETERS = 'world = "talk"'
WRITTEN = re.compile(r"%%writefile [\w.-]+\n")  # a file beside a DAG: its test, its job in CI
MAGICS = (SLIDE, EXERCISE, OWN_FILE, WRITTEN)
# What keeps a cell's output from being compared, but for the cells of this list: a comment, an
# argument, or any tag beside these.
UNCOMPARED = Path(__file__).with_name("uncompared.csv")
SWITCH = re.compile(r"^\s*#[#\s]*((?:NBVAL|PYTEST)_\w+)|(measured=True)", re.M | re.I)
TAGS = {"parameters", "solution"}
# What a room reads on a projector, exercises aside.
MOST_CELLS, LONGEST_CELL, LONGEST_FILE = 30, 15, 26  # a whole DAG file has its imports too
MEDIAN, SHORT, SHARE_OF_SHORT = 3, 8, 0.85
# Numbers that no cell prints: a slide's, a year, a version of Airflow, and what stands in code.
FREE_NUMBERS = re.compile(
    r"[Ss]lides? \d+(?:–\d+)?|\b20\d\d\b|Airflow \d+(?:\.\d+)?|`[^`]*`|\[[^]]*\]\([^)]*\)"
)


def complaints(notebook: Any, name: str) -> list[str]:
    """Return what is wrong with a stored notebook, a sentence each; nothing when all is well.

    Args:
        notebook: as nbformat reads it.
        name: its file's name without the ending.
    """
    checks = (_whole, _code_cells, _switches, _prose, link_flaws, _slides, _sizes)
    return [f"{name}: {complaint}" for check in checks for complaint in check(notebook, name)]


def _short(cell: Any) -> str:
    return f"the cell '{cell.source.splitlines()[0][:50] if cell.source else ''}'"


def _whole(notebook: Any, name: str) -> Iterator[str]:
    count, stored = len(notebook.cells), notebook.metadata.get("workshop", {}).get("cells")
    if stored != count:
        yield f"{count} cells, recorded were {stored}: restore them, or make record"
    for number, cell in enumerate(code_of(notebook), 1):
        if cell.execution_count != number:
            ran = f"bears the number {cell.execution_count}, not {number}"
            yield f"{_short(cell)} {ran}: the cells were not run from the top: make record"
            break
    tagged = [c.source for c in code_of(notebook) if "parameters" in c.metadata.get("tags", [])]
    if tagged != [PARAMETERS]:
        yield f"it needs one cell tagged 'parameters', with {PARAMETERS}"
    again = copy.deepcopy(notebook)
    normalise(again)
    again.metadata.workshop.cells = stored  # this count has its own complaint
    both = {*again.metadata, *notebook.metadata}
    if odd := sorted(k for k in both if again.metadata.get(k) != notebook.metadata.get(k)):
        yield f"its metadata hold what a run or a save left in {odd}: make record"
    for new, old in zip(again.cells, notebook.cells, strict=True):
        both = {*new, *old}
        if odd := sorted(key for key in both if new.get(key) != old.get(key)):
            yield f"{_short(old)} holds what a run or a save left in {odd}: make record"
            break


def _code_cells(notebook: Any, name: str) -> Iterator[str]:
    for cell in code_of(notebook):
        if cell.source.startswith("%%") and not any(m.match(cell.source) for m in MAGICS):
            yield f"{_short(cell)} has an unknown magic: write '%%slide N part'"
        if SECRETS.search(cell.source):
            yield f"{_short(cell)} holds a secret: take it out, and renew it"
        if not cell.outputs and cell.source != PARAMETERS:
            yield f"{_short(cell)} has no output: make record"
        for output in cell.outputs:
            yield from (f"{_short(cell)} {flaw}" for flaw in _flaws(output))


def _flaws(output: Any) -> Iterator[str]:
    """Return what an output must not hold: errors, one machine's places, secrets, bare images."""
    data = output.get("data", {})
    forms = [output.get("text", ""), *data.values()]
    text = "\n".join(re.sub(r"base64,[A-Za-z0-9+/=]+", "", str(form)) for form in forms)
    own = {str(ROOT), str(Path.home())} - {"/"}
    if output.output_type == "error" or output.get("name") == "stderr":
        yield "stores an error or a warning: correct the cell"
    found = OF_ONE_MACHINE.search(text)
    if places := [path for path in own if path in text] or ([found[0]] if found else []):
        yield f"shows '{places[0]}', a place of one machine: print something stable"
    if SECRETS.search(text):
        yield "shows a secret: take it out of the cell, and renew the secret"
    yield from picture_flaws(data)


def read_uncompared() -> list[dict[str, str]]:
    """Return the cells that may keep something from being compared, each with its reason."""
    with UNCOMPARED.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def _switches(notebook: Any, name: str) -> Iterator[str]:
    listed = {(row["cell"], row["switch"]) for row in read_uncompared() if row["notebook"] == name}
    for cell in code_of(notebook):
        found = {comment or argument for comment, argument in SWITCH.findall(cell.source)}
        for switch in sorted(found | {*cell.metadata.get("tags", [])} - TAGS):
            if (cell.id, switch) not in listed:
                why = f"needs a row for '{cell.id}' with a reason in {UNCOMPARED.name}"
                yield f"{_short(cell)} has {switch}, which {why}: take it out, or add the row"
            listed.discard((cell.id, switch))
    for cell_id, switch in sorted(listed):
        where = f"{UNCOMPARED.name} names '{cell_id}' with {switch}"
        yield f"{where}, which is not there: remove that row"


def _prose(notebook: Any, name: str) -> Iterator[str]:
    for source in (cell.source for cell in notebook.cells if cell.cell_type == "markdown"):
        prose = re.sub(r"^```.*?^```", "", source, flags=re.MULTILINE | re.DOTALL)
        for line in prose.splitlines():
            plain = not line.startswith(("#", "|", "**Slide", "Next: "))
            if plain and re.search(r"\d", FREE_NUMBERS.sub("", line)):
                yield f"types a number: '{line[:60]}': let a cell print it, or use a word"
        if "![" in prose or "<img" in prose:
            yield "has a picture in its prose, which has no text form: draw it in a cell"


def _slides(notebook: Any, name: str) -> Iterator[str]:
    headed: list[int] = []
    live: set[int] = set()
    current = range(0)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for heading in HEADING.finditer(cell.source):
                current = slides_of(heading)
                headed += current
        else:
            live |= set(current)
            magic = SLIDE.match(cell.source)
            if magic and int(magic[1]) not in current:
                yield f"{_short(cell)} stands under another slide's heading: correct one"
    planned = {slide.number: slide.how for slide in read_slides() if slide.notebook == name}
    if headed != list(planned):
        named = f"its headings name the slides {headed}, slides.csv names {list(planned)}"
        yield f"{named}: correct one of them"
    if silent := [n for n, how in planned.items() if how == "live" and n not in live]:
        yield f"no cell runs on the slides {silent}, which are live: write one"


def _sizes(notebook: Any, name: str) -> Iterator[str]:
    lengths: list[int] = []
    for cell in notebook.cells:
        if cell.source.startswith("## What you have now"):
            break  # the exercises come after the talk, at the learner's own pace
        if cell.cell_type != "code":
            continue
        length = len(cell.source.splitlines())
        is_file = OWN_FILE.match(cell.source) or WRITTEN.match(cell.source)
        longest = LONGEST_FILE if is_file else LONGEST_CELL
        if length > longest:
            yield f"{_short(cell)} has {length} lines, at most {longest}: split it"
        if not is_file:
            lengths.append(length)
    if len(lengths) > MOST_CELLS:
        cells = f"{len(lengths)} code cells beside whole DAG files"
        yield f"{cells}, at most {MOST_CELLS}: split the notebook"
    lengths = lengths or [0]
    if (median := statistics.median(lengths)) > MEDIAN:
        yield f"its median cell has {median:g} lines, at most {MEDIAN}: shorten some"
    short = sum(length <= SHORT for length in lengths) / len(lengths)
    if short < SHARE_OF_SHORT:
        few = f"{short:.0%} of its cells have at most {SHORT} lines"
        yield f"{few}, at least {SHARE_OF_SHORT:.0%}: shorten some"


def dag_file_complaints(steps: list[Step], committed: str) -> list[str]:
    """Return a complaint when the DAG file is not what the cells make of it.

    Args:
        steps: the `%%slide` cells.
        committed: the text of dags/gcp_spy.py.
    """
    pairs = zip_longest(committed.splitlines(), dag_file(steps).splitlines())
    for number, (stored, made) in enumerate(pairs, 1):
        if stored != made:
            where = f"its line {number} is {stored!r}, from the cells comes {made!r}"
            return [f"dags/gcp_spy.py: {where}: change the cells, then make dags"]
    return []
