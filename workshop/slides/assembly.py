"""The parts that cells write become one real DAG file, and the notebook its names.

A cell writes one part of the file; running it assembles every part written so far, in the file's
order, executes the file afresh and puts its names into the notebook. Running a cell twice, or
cells out of order, is therefore harmless.
"""

import difflib
import re
from dataclasses import dataclass
from functools import partial
from typing import Any

from workshop.ground import Problem, count
from workshop.ground.cells import read_steps
from workshop.ground.talk import PARTS, slide_of
from workshop.lab import DagFolder, current
from workshop.lab.dagcell import DagText, check_syntax, execute

FILE_NAME = "gcp_spy.py"
HEADER = '''"""The gcp_spy DAG: list the instances of four GCP services, tell Slack, send a mail.

It is the DAG of the talk "Manageable data pipelines with Airflow (and Kubernetes)".
Assembled from the %%slide cells of the notebooks: change it there, not here.
"""
'''


@dataclass(frozen=True)
class Attempt:
    """What stands in the cells of an exercise."""

    parts: dict[str, str]
    given: bool  # it is the workbook's own solution


def assemble(sources: dict[str, str]) -> DagText:
    """Return the file made of the given parts, each with the source that its cell holds."""
    text, first_line, above = HEADER, {}, ""
    for part in [part for part in PARTS if part in sources]:
        source = sources[part].strip("\n") + "\n"
        text += "\n" * _blank_lines(above, source)
        first_line[part] = text.count("\n") + 1
        text += source
        above = source
    return DagText(text, first_line)


def _blank_lines(above: str, below: str) -> int:
    """Return the blank lines between two parts, as the usual style has them."""
    if "def " in (above[:4], below[:4]):
        return 2
    constants = all(re.fullmatch(r"[A-Z_]+ = .*\n", source) for source in (above, below))
    return 0 if constants else 1


class Builder:
    """The DAG file of one notebook, as far as its cells have been run."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._sources: dict[str, str] = {}
        self._slides: dict[str, int] = {}  # the slide that wrote each part
        self._names: set[str] = set()
        self.attempts: dict[str, Attempt] = {}

    def write(self, slide: int, part: str, source: str) -> str:
        """Take a cell's source as a part, and return a line that says what the file is now.

        Where a part of a later slide does not run with this one, as when a notebook is run again
        from its top, the parts of later slides are out until their cells are run again.

        Raises:
            Problem: the cell is not Python; the message shows its line.
            Exception: whatever the file raises; it is shown at the cell's own line, and the file
                stays as it was.
        """
        check_syntax(source, FILE_NAME)
        before = self._sources.get(part)
        sources = self._sources | {part: source}
        slides = self._slides | {part: slide}
        out = ""
        try:
            tasks = self._use(sources, part)
        except Problem:
            raise
        except Exception as error:
            later = [name for name in PARTS if slides.get(name, 0) > slide]
            sources = {name: text for name, text in sources.items() if name not in later}
            try:
                tasks = self._use(sources, part)
            except Exception:
                raise error from None
            out = (
                f"\nOut, because a later slide does not fit any more: {', '.join(later)}. "
                f"({type(error).__name__}: {error})"
            )
        self._sources, self._slides = sources, slides
        return f"{tasks} · {part}: {_difference(before, source)}{out}"

    def attempt(self, exercise: str, part: str, source: str, *, given: bool) -> str:
        """Take a cell of an exercise, over the parts of the slides, and say what the file is now.

        The parts of other exercises are out again. Raises as `write`.
        """
        check_syntax(source, FILE_NAME)
        before = self.attempts.get(exercise)
        parts = {**(before.parts if before and before.given == given else {}), part: source}
        tasks = self._use(self._sources | parts, part)
        self.attempts[exercise] = Attempt(parts, given)
        return f"{tasks} · {part}: {_difference(self._sources.get(part), source)}"

    def use_attempt(self, exercise: str) -> Any:
        """Make the file that of an exercise again, and return its DAG."""
        self._use(self._sources | self.attempts[exercise].parts, "")
        return self._namespace["dag"]

    def catch_up(self, slide: int) -> str:
        """Take the workbook's own parts up to a slide in place of all that was written so far.

        Raises:
            Problem: the talk has no such slide, or no part is written up to it.
        """
        slide_of(slide)
        steps = [step for step in read_steps() if step.slide <= slide]
        if not steps:
            first = read_steps()[0].slide
            raise Problem(
                f"Nothing is written up to slide {slide}: the first part is on slide {first}."
            )
        sources = {step.part: step.source for step in steps}
        tasks = self._use(sources, "")
        self._sources, self._slides = sources, {step.part: step.slide for step in steps}
        return f"As after slide {slide}: {tasks}"

    def _use(self, sources: dict[str, str], part: str) -> str:
        """Execute the file made of these parts; keep it, and its names, only if it runs."""
        folder, file = current()[DagFolder], assemble(sources)
        with folder.saving(FILE_NAME, file.text) as path:
            names, _ = execute(file, path, part, partial(_maker, sources))
            dag: Any = names.get("dag")
            if dag is not None and not hasattr(dag, "tasks"):
                raise Problem(
                    f"'dag' is of the type {type(dag).__name__}, and no DAG: write dag = DAG(…). "
                    f"{FILE_NAME} stays as it was."
                )
        for name in self._names:
            self._namespace.pop(name, None)
        self._names = set(names)
        self._namespace.update(names)
        return (
            f"{FILE_NAME} · {count(len(file.text.splitlines()), 'line')}"
            f" · {count(len(dag.tasks), 'task') if dag else 'no DAG yet'}"
        )


def _maker(sources: dict[str, str], name: str) -> str | None:
    """Return a sentence on the slide that makes a name, where no part of the file does."""
    makers = [step for step in read_steps() if re.search(rf"\b{name}\b", step.source)]
    if not makers or makers[0].part in sources:
        return None
    slide = makers[0].slide
    return f"'{name}' is made on slide {slide}: run that cell first, or catch_up({slide})."


def _difference(before: str | None, after: str) -> str:
    if before is None:
        return f"new, {count(len(after.strip().splitlines()), 'line')}"
    diff = list(difflib.ndiff(before.strip().splitlines(), after.strip().splitlines()))
    added, removed = (sum(line.startswith(sign) for line in diff) for sign in ("+ ", "- "))
    if not added and not removed:
        return "unchanged"
    return f"{count(added, 'line')} in, {removed} out"
