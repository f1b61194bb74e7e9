"""The cell magic `%%slide N part`: cells become one real DAG file, and the notebook its names.

A cell writes one part of the file; running it assembles every part written so far, in the file's
order, executes the file afresh and puts its names into the notebook. Running a cell twice, or
cells out of order, is therefore harmless.
"""

import difflib
import gc
import graphlib
import json
import os
import re
import sys
import traceback
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workshop.lab import NOT_STARTED, ROOT, current, is_warming, wait_until_warm
from workshop.problem import Problem

NOTEBOOKS = ROOT / "notebooks"
FILE_NAME = "gcp_spy.py"
HEADER = '''"""The gcp_spy DAG: list the instances of four GCP services, tell Slack, send a mail.

It is the DAG of the talk "Manageable data pipelines with Airflow (and Kubernetes)".
Assembled from the %%slide cells of the notebooks: change it there, not here.
"""
'''

# The parts of the file, in its order. The talk shows operators before the functions they call;
# a file needs the functions first.
PARTS = (
    "imports",
    "slack_webhook",
    "recipient_email",
    "title",
    "gcp_services",
    "instance_names",
    "slack_field",
    "slack_data",
    "send_slack_msg",
    "email_html",
    "prepare_email",
    "dag",
    "send_slack_msg_task",
    "prepare_email_task",
    "send_email_task",
    "list_instances",
    "dependencies",
)
MAGIC = re.compile(r"%%slide[ \t]+(\d+)[ \t]+(\w+)[ \t]*\n")
HEADING = re.compile(r"^## Slides? (\d+)(?:–(\d+))? · \S", re.MULTILINE)
EXERCISE = re.compile(r"%%(exercise|solution)[ \t]+(\w+)[ \t]+(\w+)[ \t]*\n")


@dataclass(frozen=True)
class Step:
    """One `%%slide` cell: what it writes, and where it stands."""

    slide: int
    part: str
    source: str
    notebook: str = ""
    cell: int = 0


@dataclass(frozen=True)
class Attempt:
    """What stands in the cells of an exercise."""

    parts: dict[str, str]
    given: bool  # it is the workbook's own solution


@dataclass(frozen=True)
class DagFile:
    """The DAG file as text, and which of its lines came from which part."""

    text: str
    first_line: dict[str, int]

    def where(self, line: int) -> tuple[str, int]:
        """Return the part that a line of the file belongs to, and the line within its cell."""
        part = max(
            (part for part in self.first_line if self.first_line[part] <= line),
            key=lambda part: self.first_line[part],
        )
        return part, line - self.first_line[part] + 2  # the magic is the cell's first line


def assemble(sources: dict[str, str]) -> DagFile:
    """Return the file made of the given parts, each with the source that its cell holds."""
    text, first_line, above = HEADER, {}, ""
    for part in [part for part in PARTS if part in sources]:
        source = sources[part].strip("\n") + "\n"
        text += "\n" * _blank_lines(above, source)
        first_line[part] = text.count("\n") + 1
        text += source
        above = source
    return DagFile(text, first_line)


def _blank_lines(above: str, below: str) -> int:
    """Return the blank lines between two parts, as the usual style has them."""
    if "def " in (above[:4], below[:4]):
        return 2
    constants = all(re.fullmatch(r"[A-Z_]+ = .*\n", source) for source in (above, below))
    return 0 if constants else 1


def read_steps() -> list[Step]:
    """Return the `%%slide` cells of the workbook's own notebooks, in the talk's order.

    Raises:
        Problem: a notebook cannot be read, or a cell's magic names no slide or part.
    """
    steps = []
    for name, number, cell in code_cells():
        source = "".join(cell["source"])
        if source.startswith("%%slide"):
            magic = MAGIC.match(source)
            if not magic:
                raise Problem(f"{name}, cell {number}: write '%%slide N part' first.")
            slide, part = parse(magic[1] + " " + magic[2])
            steps.append(Step(slide, part, source[magic.end() :], name, number))
    return steps


def read_attempts(kind: str) -> dict[str, dict[str, str]]:
    """Return the parts of the workbook's exercises by name: as set, or as solved.

    Args:
        kind: "exercise" or "solution".
    """
    found: dict[str, dict[str, str]] = {}
    for _, _, cell in code_cells():
        source = "".join(cell["source"])
        magic = EXERCISE.match(source)
        if magic and magic[1] == kind:
            found.setdefault(magic[2], {})[magic[3]] = source[magic.end() :]
    return found


def code_cells() -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Return file, number and content of each code cell of the workbook's own notebooks.

    Raises:
        Problem: a notebook cannot be read.
    """
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        try:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        except (OSError, ValueError, KeyError) as error:
            raise Problem(f"The notebook {path.name} cannot be read: {error}") from None
        for number, cell in enumerate(cells):
            if cell["cell_type"] == "code":
                yield path.name, number, cell


def parse(line: str) -> tuple[int, str]:
    """Return slide and part of the words behind `%%slide`.

    Raises:
        Problem: they are not a slide's number and a part's name.
    """
    words = line.split()
    if len(words) != 2 or not words[0].isdigit():
        raise Problem("Write '%%slide N part', for example '%%slide 24 dag'.")
    if not 1 <= int(words[0]) <= 57:
        raise Problem(f"There is no slide {words[0]}: the talk has the slides 1 to 57.")
    return int(words[0]), known(words[1], PARTS, "part")


def known(word: str, words: Collection[str], what: str) -> str:
    """Return a word that is one of those known.

    Raises:
        Problem: it is not; the sentence names the nearest, and all.
    """
    if word in words:
        return word
    near = difflib.get_close_matches(str(word), words, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    raise Problem(f"There is no {what} '{word}'. {hint}The {what}s are: {', '.join(words)}.")


def slides_of(heading: re.Match[str]) -> range:
    """Return the slides that a heading names."""
    return range(int(heading[1]), int(heading[2] or heading[1]) + 1)


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
        check_syntax(source)
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
        check_syntax(source)
        before = self.attempts.get(exercise)
        parts = {**(before.parts if before and before.given == given else {}), part: source}
        tasks = self._use(self._sources | parts, part)
        self.attempts[exercise] = Attempt(parts, given)
        return f"{tasks} · {part}: {_difference(self._sources.get(part), source)}"

    def use(self) -> None:
        """Make the file that of the slides again, without any exercise."""
        self._use(self._sources, "")

    def use_attempt(self, exercise: str) -> Any:
        """Make the file that of an exercise again, and return its DAG."""
        self._use(self._sources | self.attempts[exercise].parts, "")
        return self._namespace["dag"]

    def catch_up(self, slide: int) -> str:
        """Take the workbook's own parts up to a slide in place of all that was written so far.

        Raises:
            Problem: no part is written up to that slide.
        """
        steps = [step for step in read_steps() if step.slide <= slide]
        if not steps:
            raise Problem(f"Nothing is written up to slide {slide}: the first part is on slide 22.")
        sources = {step.part: step.source for step in steps}
        tasks = self._use(sources, "")
        self._sources, self._slides = sources, {step.part: step.slide for step in steps}
        return f"As after slide {slide}: {tasks}"

    def _use(self, sources: dict[str, str], part: str) -> str:
        """Execute the file made of these parts; keep it, and its names, only if it runs."""
        path = current().dags / FILE_NAME
        file = assemble(sources)
        names: dict[str, Any] = {"__name__": "gcp_spy", "__file__": str(path)}
        execute(file, path, names, part)
        save(path, file.text)
        from workshop import workcopy

        workcopy.mirror(Path.cwd(), FILE_NAME, file.text)
        for name in self._names:
            self._namespace.pop(name, None)
        self._names = {name for name in names if not name.startswith("__")}
        self._namespace.update({name: names[name] for name in self._names})
        dag = names.get("dag")
        return (
            f"{FILE_NAME} · {count(len(file.text.splitlines()), 'line')}"
            f" · {count(len(dag.tasks), 'task') if dag else 'no DAG yet'}"
        )


def execute(file: DagFile, path: Path, names: dict[str, Any], part: str) -> None:
    """Execute a DAG file in a namespace; an error is shown at the line of the cell it came from.

    Args:
        file: the text, and which of its lines came from which part.
        path: where it will lie.
        names: the namespace.
        part: what the cell that runs now writes.

    Raises:
        Problem: it is not Python, it was interrupted, or its arrows lead in a circle.
        Exception: whatever the file raises.
    """
    try:
        exec(compile(file.text, str(path), "exec"), names)
        for value in list(names.values()):
            if hasattr(value, "dag_id") and hasattr(value, "tasks"):
                _check_cycle(value)
    except KeyboardInterrupt:
        raise Problem(f"Interrupted; {path.name} stays as it was.") from None
    except Problem:
        raise
    except Exception as error:
        _show_at_cell(error, file, str(path), part)
        raise


def _check_cycle(dag: Any) -> None:
    """Raise Problem when the arrows of a DAG lead back; Airflow says so only when it stores it."""
    above = {task.task_id: task.upstream_task_ids for task in dag.tasks}
    try:
        graphlib.TopologicalSorter(above).prepare()
    except graphlib.CycleError as error:
        raise Problem(
            f"These arrows lead in a circle: {' >> '.join(error.args[1])}. A DAG has none: "
            "take one of them out. The file stays as it was."
        ) from None


def check_syntax(source: str, file: str = FILE_NAME) -> None:
    """Raise Problem when a cell is not Python; the message shows its line."""
    try:
        compile("\n" + source, "cell", "exec")
    except SyntaxError as error:
        line = (error.text or "").rstrip()
        mark = " " * ((error.offset or 1) - 1) + "^"
        raise Problem(
            f"SyntaxError: {error.msg}\nin line {error.lineno} of this cell:\n{line}\n{mark}\n"
            f"{file} stays as it was."
        ) from None


def save(path: Path, text: str) -> None:
    """Write the file with a new time: Python's bytecode cache compares whole seconds."""
    last = path.stat().st_mtime if path.exists() else 0.0
    path.write_text(text, encoding="utf-8")
    if path.stat().st_mtime < last + 1:
        os.utime(path, (last + 1, last + 1))


def _show_at_cell(error: Exception, file: DagFile, path: str, part: str) -> None:
    """Make IPython show an error at the line of the cell that it came from."""
    lines = [f"{type(error).__name__}: {error}"]
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if frame.filename == path]
    if inside and inside[0].lineno:
        written, line = file.where(inside[0].lineno)
        source = file.text.splitlines()[inside[0].lineno - 1]
        cell = "this cell" if written == part else f"the part {written}"
        lines.append(f"in line {line} of {cell}: {source.strip()}")
    if isinstance(error, NameError) and error.name:
        makers = [step for step in read_steps() if re.search(rf"\b{error.name}\b", step.source)]
        if makers and makers[0].part not in file.first_line:
            lines.append(
                f"'{error.name}' is made on slide {makers[0].slide}: "
                f"run that cell first, or catch_up({makers[0].slide})."
            )
    lines.append(f"{Path(path).name} stays as it was.")
    error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]


def _difference(before: str | None, after: str) -> str:
    if before is None:
        return f"new, {count(len(after.strip().splitlines()), 'line')}"
    diff = list(difflib.ndiff(before.strip().splitlines(), after.strip().splitlines()))
    added, removed = (sum(line.startswith(sign) for line in diff) for sign in ("+ ", "- "))
    if not added and not removed:
        return "unchanged"
    return f"{count(added, 'line')} in, {removed} out"


def count(number: int, what: str) -> str:
    """Return a number with its noun: 1 line, 2 lines."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


_builder: Builder | None = None


def load_ipython_extension(shell: Any) -> None:
    """Know the magics before the workbook starts, so that a cell run too early gets a sentence."""
    from workshop import dagfile

    magics = {"slide": _slide, "exercise": _exercise, "solution": _solution, "dag": dagfile.magic}
    for name, magic in magics.items():
        shell.register_magic_function(magic, "cell", name)


def register(shell: Any) -> None:
    """Give a notebook its `%%slide`, and make cells that run a DAG wait until Airflow is warm."""
    global _builder
    _builder = _builder or Builder(shell.user_ns)
    load_ipython_extension(shell)
    shell.set_custom_exc((KeyboardInterrupt,), _say_interrupted)
    for event, hook in (("pre_run_cell", _before_cell), ("post_run_cell", _after_cell)):
        if hook not in shell.events.callbacks[event]:
            shell.events.register(event, hook)


def _say_interrupted(shell: Any, kind: Any, error: Any, trace: Any, tb_offset: Any = None) -> None:
    """Show an interrupt; one that met Airflow between two tasks as a sentence, as within a task."""
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(trace)]
    if any(name.startswith("airflow.") for name in modules):
        from workshop import tasklog

        _let_go(error)
        if kind is KeyboardInterrupt:
            error = tasklog.Interrupted("Interrupted: the run was stopped.")
    shell.showtraceback((type(error), error, trace))


def _let_go(error: BaseException | None) -> None:
    """Give up what an interrupted Airflow holds of its database, often in mid-transaction.

    Otherwise the next run sees an old state, or finds the database locked.
    """
    from airflow import settings

    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
    settings.Session.remove()
    gc.collect()
    settings.engine.dispose()


def catch_up(slide: int) -> None:
    """Make the DAG file what the workbook's own cells make of it up to a slide, and say so.

    Args:
        slide: a slide's number, 22 to 57; later cells of the notebook go on from there.

    Raises:
        Problem: the notebook has not started, or nothing is written up to that slide.
    """
    if not isinstance(slide, int):
        raise Problem("Write the slide's number: catch_up(31).")
    made = builder()
    wait_until_warm()
    print(made.catch_up(slide))


def builder() -> Builder:
    """Return the DAG file of this notebook.

    Raises:
        Problem: the notebook has not started.
    """
    if not _builder:
        raise Problem(NOT_STARTED)
    return _builder


def _slide(line: str, cell: str) -> None:
    """Write one part of gcp_spy.py: `%%slide N part`."""
    slide, part = parse(line)
    print(builder().write(slide, part, cell))


def _exercise(line: str, cell: str) -> None:
    """Write one part of gcp_spy.py for an exercise: `%%exercise NAME part`."""
    print(builder().attempt(*_parse_exercise(line), cell, given=False))


def _solution(line: str, cell: str) -> None:
    """Write one part of gcp_spy.py as the workbook solves an exercise: `%%solution NAME part`."""
    print(builder().attempt(*_parse_exercise(line), cell, given=True))


def _parse_exercise(line: str) -> tuple[str, str]:
    words = line.split()
    if len(words) != 2:
        raise Problem("Write '%%exercise NAME part', for example '%%exercise weekdays dag'.")
    name = known(words[0], list(read_attempts("exercise")), "exercise")
    return name, known(words[1], PARTS, "part")


_ran: list[str] = []  # the source of the cell that ran before, and of the one that runs now


def now_running() -> str:
    """Return the source of the cell that runs now."""
    return _ran[-1] if _ran else ""


def stored() -> None:
    """Show what the workbook has stored for the cell that ran before this one.

    For a presenter whose live cell fails on stage: the talk goes on with the recorded result.

    Raises:
        Problem: that cell is not one of the workbook's, so nothing is stored for it.
    """
    from IPython.display import display

    before = _ran[-2].strip() if len(_ran) > 1 else ""
    for name, _, cell in code_cells():
        if "".join(cell["source"]).strip() == before and before:
            print(f"Stored in {name}, not run now:")
            for output in cell["outputs"]:
                if "text" in output:
                    print("".join(output["text"]), end="")
                else:
                    data = {kind: "".join(form) for kind, form in output["data"].items()}
                    display(data, raw=True)
            return
    raise Problem("Nothing is stored: the cell that ran before this one is not the workbook's.")


def _before_cell(info: Any) -> None:
    _ran[:] = [*_ran[-1:], info.raw_cell or ""]
    if any(
        word in (info.raw_cell or "")
        for word in ("%%", ".test(", ".plot", "airflow", "check(", "exec(")
    ):
        wait_until_warm()


def _after_cell(result: Any) -> None:
    # Not "airflow": while that is still being imported in the background, an import here as well
    # would find it half made.
    if (tasklog := sys.modules.get("workshop.tasklog")) and not is_warming():
        tasklog.restore_stdout()
    if "workshop.live" in sys.modules:
        from workshop import live

        live.settle()
    if (path := os.environ.get("WORKSHOP_RESULTS")) and ".test(" in result.info.raw_cell:
        from workshop import results

        results.add(Path(path))
