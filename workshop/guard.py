"""The guard: what nbval and papermill do not see in a stored notebook, each with its cure."""

import copy
import re
import statistics
from pathlib import Path
from typing import Any

from workshop import dagfile, record, talk
from workshop.lab import ROOT
from workshop.slides import EXERCISE, HEADING, MAGIC, NOTEBOOKS, Step, slides_of

OF_ONE_MACHINE = re.compile(
    r"/home/|/root/|/Users/|/tmp/|/var/folders/|gcp_spy-\w|127\.0\.0\.1:\d|localhost:\d"
)
SECRETS = re.compile(r"/services/T\w+|hooks\.slack\.com|xox[abp]-|token=|BEGIN [A-Z ]*PRIVATE KEY")
PARAMETERS = 'world = "talk"'
# Numbers that no cell prints: a slide's, a year, a version of Airflow, and what stands in code.
FREE_NUMBERS = re.compile(
    r"[Ss]lides? \d+(?:–\d+)?|\b20\d\d\b|Airflow \d+\.\d+|`[^`]*`|\[[^]]*\]\([^)]*\)"
)


def complaints(notebook: Any, name: str) -> list[str]:
    """Return what is wrong with a stored notebook, a sentence each; nothing when all is well.

    Args:
        notebook: as nbformat reads it.
        name: its file's name without the ending.
    """
    found: list[str] = []
    for check in (
        _cells_complete, _cells_run, _outputs, _sources, _pictures, _numbers, _links, _slides,
        _sizes, _normal,
    ):  # fmt: skip
        found += [f"{name}: {complaint}" for complaint in check(notebook, name)]
    return found


def _code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _prose(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def _short(cell: Any) -> str:
    return f"the cell '{cell.source.splitlines()[0][:50] if cell.source else ''}'"


def _cells_complete(notebook: Any, name: str) -> list[str]:
    stored = notebook.metadata.get("workshop", {}).get("cells")
    if stored == len(notebook.cells):
        return []
    return [f"{len(notebook.cells)} cells, recorded were {stored}: restore them, or make record"]


def _cells_run(notebook: Any, name: str) -> list[str]:
    counts = [cell.execution_count for cell in _code(notebook)]
    if counts == list(range(1, len(counts) + 1)):
        return []
    return ["its cells were not run from top to bottom: make record"]


def _outputs(notebook: Any, name: str) -> list[str]:
    found = []
    for cell in _code(notebook):
        if not cell.outputs and cell.source != PARAMETERS:
            found.append(f"{_short(cell)} has no output: make record")
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                found.append(f"{_short(cell)} stores an error or a warning: mend the cell")
            found += [f"{_short(cell)} {flaw}" for flaw in _flaws(output)]
    return found


def _flaws(output: Any) -> list[str]:
    """Return what an output must not hold: a path or an address of one machine, a secret."""
    forms = [output.get("text", ""), *output.get("data", {}).values()]
    text = "\n".join(re.sub(r"base64,[A-Za-z0-9+/=]+", "", str(form)) for form in forms)
    own = {str(ROOT), str(Path.home())} - {"/"}
    found = []
    if OF_ONE_MACHINE.search(text) or any(path in text for path in own):
        found.append("shows a path or an address of one machine: print something stable")
    if SECRETS.search(text):
        found.append("shows a secret: take it out of the cell, and renew the secret")
    return found


def _sources(notebook: Any, name: str) -> list[str]:
    found = []
    tagged = [c.source for c in _code(notebook) if "parameters" in c.metadata.get("tags", [])]
    if tagged != [PARAMETERS]:
        found.append(f"it needs one cell tagged 'parameters', with {PARAMETERS}")
    for cell in _code(notebook):
        magics = (MAGIC, EXERCISE, dagfile.MAGIC)
        known = any(magic.match(cell.source) for magic in magics)
        if cell.source.startswith("%%") and not known:
            found.append(f"{_short(cell)} has an unknown magic: write '%%slide N part'")
        if SECRETS.search(cell.source):
            found.append(f"{_short(cell)} holds a secret: take it out, and renew it")
    return found


def _pictures(notebook: Any, name: str) -> list[str]:
    found = []
    for cell in _code(notebook):
        for output in cell.outputs:
            data = output.get("data", {})
            for image in re.findall(r"<img\b[^>]*>", str(data.get("text/html", ""))):
                if not re.search(r'alt="[^"]{10,}"', image) or not data.get("text/plain"):
                    found.append(f"{_short(cell)} has a picture without words: use draw or figure")
    return found


def _numbers(notebook: Any, name: str) -> list[str]:
    found = []
    for cell in _prose(notebook):
        prose = re.sub(r"^```.*?^```", "", cell.source, flags=re.MULTILINE | re.DOTALL)
        for line in prose.splitlines():
            free = FREE_NUMBERS.sub("", line)
            plain = not line.startswith(("#", "|", "**Slide", "Next: "))
            if plain and re.search(r"\d", free):
                found.append(f"types a number: '{line[:60]}': let a cell print it, or use a word")
    return found


def _links(notebook: Any, name: str) -> list[str]:
    targets = [
        target for cell in _prose(notebook) for target in re.findall(r"\]\(([^)#]+)", cell.source)
    ]
    return [
        f"a link leads to {target}, which is not there: mend the link"
        for target in targets
        if not (NOTEBOOKS / target).exists()
    ]


def _slides(notebook: Any, name: str) -> list[str]:
    found = []
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
            magic = MAGIC.match(cell.source)
            if magic and int(magic[1]) not in current:
                found.append(f"{_short(cell)} stands under another slide's heading: mend one")
    expected = [slide for slide in talk.read_slides() if slide.notebook == name]
    if headed != [slide.number for slide in expected]:
        found.append("its headings are not the slides of workshop/slides.csv: mend one of them")
    silent = [
        slide.number for slide in expected if slide.how == "live" and slide.number not in live
    ]
    if silent:
        found.append(f"no cell runs on the slides {silent}, which are live: write one")
    return found


def _sizes(notebook: Any, name: str) -> list[str]:
    # The exercises come after the talk, at the learner's own pace.
    end = [n for n, c in enumerate(notebook.cells) if c.source.startswith("## What you have now")]
    talked = notebook.cells[: end[0]] if end else notebook.cells
    code = [c for c in talked if c.cell_type == "code"]
    files = [len(c.source.splitlines()) for c in code if dagfile.MAGIC.match(c.source)]
    lengths = [len(c.source.splitlines()) for c in code if not dagfile.MAGIC.match(c.source)]
    small = sum(length <= 8 for length in lengths) >= 0.85 * len(lengths)
    short = max(lengths) <= 15 and max(files, default=0) <= 26  # a whole DAG file, imports and all
    if short and statistics.median(lengths) <= 3 and small and len(lengths) <= 30:
        return []
    return ["its cells are too long or too many for a room: split or shorten"]


def _normal(notebook: Any, name: str) -> list[str]:
    again = copy.deepcopy(notebook)
    record.normalise(again)
    again.metadata = notebook.metadata  # the count of cells has its own complaint
    return [] if again == notebook else ["it holds what a run or a save added: make record"]


def dag_file_complaints(steps: list[Step], committed: str) -> list[str]:
    """Return a complaint when the DAG file is not what the cells make of it.

    Args:
        steps: the `%%slide` cells.
        committed: the text of dags/gcp_spy.py.
    """
    if committed == record.dag_file(steps):
        return []
    return ["dags/gcp_spy.py is not what the notebooks make: change the cells, then make dags"]
