"""How an exercise is judged: `check`, `progress`, and what the judges in `notebooks` share.

A judge gets the DAG that the exercise's cells make, or the answer. It says what is wrong with
`expect`, and returns where nothing is. It runs the DAG in worlds of its own; the learner's world,
and what arrived in it, stay as they were.
"""

import ast
import html
import re
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib import import_module
from itertools import takewhile
from numbers import Number
from pathlib import Path
from typing import Any, NamedTuple, Self

import pandas as pd
import yaml

from workshop.ground import Problem, known
from workshop.ground.cells import code_cells, exercise_headings, is_solution, read_attempts
from workshop.ground.learner import note_solved, solved
from workshop.lab import TaskLogs, current
from workshop.sandbox import faults_now, gcloud, visit
from workshop.show import Progress, states, tasks, xcoms
from workshop.slides import Builder, Cells, as_python

SERVICES = [name for name, service in gcloud.SERVICES.items() if service.in_talk]
LIST = "gcp_service_list_instances_{}"
LISTED = Path(__file__).with_name("questions.yaml")
MARKS = {
    "right": ("✓ Right.", "#008000"),
    "not yet": ("✗ Not yet.", "#c62828"),
    "open": ("… Not attempted yet.", "#8c8c8c"),
}
# Of a right answer: the types that an answer may have, where it is not the same type alone.
KINDS: dict[type, Any] = {
    set: (Set, list, tuple, range),
    list: (list, tuple),
    dict: Mapping,
    int: Number,
}
WORDS = {"str": "text", "int": "number", "float": "number"}  # of types
PRINTED = 15  # lines of a command that failed; gcloud's longest error has twelve
FAILED = "Task failed with exception"  # Airflow's line before an error
NEVER = "it never saw what it waits for"
FRAME = re.compile(r"  .+, line \d+, in ")  # a line of a logged traceback


class Wrong(Exception):
    """What is wrong with a DAG or an answer: a sentence for the learner."""


def expect(condition: object, sentence: str) -> None:
    """Go on only if a condition holds; `assert` would not do, since `python -O` leaves it out.

    Raises:
        Wrong: it does not hold; with the sentence.
    """
    if not condition:
        raise Wrong(sentence)


@contextmanager
def trying(introduction: str = "") -> Iterator[None]:
    """Run what the learner's work is asked to do; whatever it raises is wrong, not an interrupt.

    Args:
        introduction: what comes before the sentence.

    Raises:
        Wrong: it raised something, be it Airflow's, pytest's, or an end of the program.
    """
    try:
        yield
    except (Wrong, KeyboardInterrupt):
        raise
    except Problem as problem:
        raise Wrong(f"{introduction}{problem}") from None
    except BaseException as error:
        said = " ".join("".join(traceback.format_exception_only(error)).split()).rstrip(": .")
        raise Wrong(f"{introduction}It stops with {said}.") from None


def expect_dag(dag: Any, call: str, *names: str) -> None:
    """Go on only with a DAG that has these tasks; `call` is how a learner hands it over.

    Raises:
        Wrong: it is no DAG, or lacks a task.
    """
    expect(hasattr(dag, "task_dict"), f"Hand over the DAG, not a {type(dag).__name__}: {call}.")
    for name in names:
        expect(name in dag.task_dict, f"The DAG has no task {name}.")


class Exercise(NamedTuple):
    """An exercise whose DAG or function is tried out."""

    title: str  # what it asks, in a few words
    judge: Callable[[Any], None]


@dataclass(frozen=True)
class Question:
    """An exercise whose right answer is the same for everybody.

    An answer is judged part by part: a dict by its keys, a set by the members that have a hint, a
    list by its places; a number or a text is one part, called None. In texts, also those within,
    capital letters and a full stop at the end make no difference. What nobody asked for is wrong.

    Args:
        title: what it asks, in a few words.
        right: the right answer.
        hints: the sentence for a wrong part, or for each part its own, in the order of judging; it
            may name the `{part}`, what was `{got}` for it, and the whole `{answer}`.
        refusal: the sentence for an answer that cannot be judged: it has the wrong type or length,
            or is not made of `choices`. It may name the `{kind}` it has and the one `{wanted}`.
        choices: all keys of a dict, all members of a list, or the only ones of anything else.
    """

    title: str
    right: Any
    hints: str | Mapping[Any, str]
    refusal: str = "Answer with a {wanted}: yours is a {kind}."
    choices: Collection[str] = ()

    def judge(self, answer: Any) -> None:
        """Go on only with the right answer.

        Raises:
            Wrong: it is another one.
        """
        names = {"wanted": _kind(self.right), "kind": _kind(answer)}
        given = plain(answer)
        expect(self._can_judge(given), self.refusal.format(**names))
        right, given = self._parts(plain(self.right)), self._parts(given)
        hints = self.hints
        if isinstance(hints, str):
            hints = dict.fromkeys(self._parts(self.right), hints)
        for part, hint in hints.items():
            got = given.get(plain(part))
            same = _same_part(got, right[plain(part)])
            expect(same, hint.format(part=part, got=got, answer=answer))
        for part in given:
            expect(part in right, f"Nobody asked for {part!r}: leave it out.")

    def _can_judge(self, answer: Any) -> bool:
        kind = type(self.right)
        if not isinstance(answer, KINDS.get(kind, kind)):
            return False
        if kind is list and len(answer) != len(self.right):
            return False
        if kind in (set, list):
            each = type(next(iter(self.right)))
            if not all(isinstance(member, KINDS.get(each, each)) for member in answer):
                return False
        choices = plain(list(self.choices))
        words = [answer] if kind is str else answer
        if choices and kind in (dict, list):
            return sorted(words, key=repr) == sorted(choices)
        return not choices or all(word in choices for word in words)

    def _parts(self, answer: Any) -> dict[Any, Any]:
        if isinstance(self.right, set):
            listed = list(answer)
            asked = {plain(member): plain(member) in listed for member in self.hints}
            return asked | {repr(each): True for each in listed if each not in list(asked)}
        if isinstance(self.right, list):
            return dict(enumerate(answer))
        return answer if isinstance(self.right, dict) else {None: answer}


def plain(answer: Any) -> Any:
    """Return an answer whose texts have no capital letters, and no full stop at the end."""
    if isinstance(answer, str):
        return answer.strip().rstrip(".").lower()
    if isinstance(answer, Mapping):
        return {plain(part): plain(value) for part, value in answer.items()}
    if isinstance(answer, Set):
        return {plain(member) for member in answer}
    return [plain(member) for member in answer] if isinstance(answer, list | tuple) else answer


def _kind(answer: Any) -> str:
    """Return the type of an answer in words, and those of its members."""
    members = answer if isinstance(answer, list | tuple | Set) else ()
    inner = {type(member).__name__ for member in members}
    of = " and ".join(sorted({f"{WORDS.get(name, name)}s" for name in inner}))
    name = type(answer).__name__
    return WORDS.get(name, name) + (f" of {of}" if of else "")


def _same_part(got: Any, wanted: Any) -> bool:
    """Return whether a part is right; a set may be given in any form that has members."""
    if isinstance(wanted, set) and isinstance(got, Collection):
        members = list(wanted)
        return all(each in members for each in got) and all(each in got for each in members)
    return bool(got == wanted)


@dataclass(frozen=True)
class Verdict:
    """What `check` says, as text and as a line of HTML."""

    kind: str  # a key of MARKS
    sentence: str

    def __repr__(self) -> str:
        return f"{MARKS[self.kind][0]} {self.sentence}"

    def _repr_html_(self) -> str:
        mark, color = MARKS[self.kind]
        return (
            f'<div style="border-left:4px solid {color};padding:4px 12px">'
            f"<b>{mark}</b> {html.escape(self.sentence)}</div>"
        )


@cache
def every() -> list[tuple[str, str, Exercise | Question]]:
    """Return notebook, name and content of each exercise, in the notebooks' order.

    The judge of an exercise is the function with its name in the notebook's file: of the notebook
    `04_slack` this is `notebooks/n04_slack.py`.
    """
    found: list[tuple[str, str, Exercise | Question]] = []
    for notebook, listed in yaml.safe_load(LISTED.read_text(encoding="utf-8")).items():
        for name, asked in listed.items():
            if isinstance(asked, dict):
                found.append((notebook, name, Question(**asked)))
            else:
                judges = import_module(f"{__package__}.notebooks.n{notebook}")
                found.append((notebook, name, Exercise(asked, getattr(judges, name))))
    return found


def check(name: str, answer: Any = None) -> Verdict:
    """Say whether an exercise is solved; if not, what is wrong with the learner's DAG or answer.

    Args:
        name: the exercise, as in its cell.
        answer: for an exercise that asks a question.

    Raises:
        Problem: there is no such exercise, the notebook has not started, or this is the real world.
    """
    exercises = {each: made for _, each, made in every()}
    asked = exercises[known(name, exercises, "exercise")]
    file, cells = current()[Builder], current()[Cells]
    faults_now()  # a sentence in the real world, where nothing is tried out
    attempt, stub = file.attempts.get(name), read_attempts("exercise").get(name)
    if refused := cells.refused(name) if stub else _unbound(name, cells):
        what = f"The cell {refused} did not run: correct it and run it, then run this one again."
        return Verdict("not yet", what)
    if stub:  # else it wants an answer
        if not attempt or _same(attempt.parts, stub):
            what = f"Change the cell %%exercise {name}, run it, then run this one again."
            return Verdict("open", what)
    elif answer is None:
        return Verdict("open", "Write your answer in place of None, and run this cell again.")
    given = attempt.given if attempt else _is_solution(cells.now)
    try:
        with trying(), Progress() as shown:
            if isinstance(asked, Exercise):  # its runs may take seconds
                shown.show(f"check tries your work on '{name}'.")
            asked.judge(file.use_attempt(name) if attempt else answer)
    except Wrong as wrong:
        return Verdict("not yet", current()[TaskLogs].plain(" ".join(str(wrong).split())))
    if given:
        return Verdict("right", "This is the workbook's own solution; yours may be another one.")
    note_solved(Path.cwd(), name)
    return Verdict("right", asked.title)


def _unbound(name: str, cells: Cells) -> str:
    """Return which cell should have made what the cell that runs now hands over, but raised."""
    try:
        nodes = list(ast.walk(as_python(cells.now)))
    except SyntaxError:  # it has a command's output as a value
        return ""
    calls = [node for node in nodes if isinstance(node, ast.Call) and node.args]
    first = [call for call in calls if getattr(call.args[0], "value", None) == name]
    handed = [node for call in first for node in ast.walk(call) if isinstance(node, ast.Name)]
    return next((f"that makes {each.id}" for each in handed if each.id in cells.unbound), "")


def _is_solution(source: str) -> bool:
    return any(
        "".join(cell["source"]).strip() == source.strip() and is_solution(cell)
        for _, _, cell in code_cells()
    )


def _same(parts: dict[str, str], stub: dict[str, str]) -> bool:
    """Return whether two sources mean the same to Python: comments and blanks do not count."""
    return {part: ast.dump(ast.parse(text)) for part, text in parts.items()} == {
        part: ast.dump(ast.parse(stub[part])) for part in parts if part in stub
    }


class Exercises(pd.DataFrame):  # type: ignore[misc]  # pandas has no types
    """A table of exercises whose titles lead to their headings."""

    def _repr_html_(self) -> str:
        cells = {(name, title): cell for name, title, cell in exercise_headings().values()}
        where = zip(self["notebook"], self["exercise"], strict=True)
        links = [_link(name, title, cells[name, title]) for name, title in where]
        shown = self.map(html.escape).assign(exercise=links)
        table: str = shown.to_html(escape=False, index=False, border=0)
        return re.sub("<(t[dh])>", r'<\1 style="text-align:left">', table)


def _link(notebook: str, title: str, cell: str) -> str:
    """Return what leads to the cell of an exercise's heading, as JupyterLab finds it by its id.

    JupyterLab does not find a heading of ours by its words: it compares them with what the browser
    made of the address, where `·` is encoded.
    """
    address = html.escape(f"{notebook}.ipynb#cell-id={cell}")
    return f'<a href="{address}">{html.escape(title)}</a>'


def progress() -> pd.DataFrame:
    """Return the exercises of all notebooks, and which of them are solved in this working copy."""
    done, headings = solved(Path.cwd()), exercise_headings()
    return Exercises(
        {"notebook": notebook, "exercise": headings[name][1],
         "what it asks": made.title, "solved": "✓" if name in done else ""}
        for notebook, name, made in every()
    )  # fmt: skip


class Ran:
    """What one run of a DAG in a world left behind."""

    def __init__(self, dag: Any, world: str, **options: Any) -> None:
        logs = current()[TaskLogs]
        with visit(world) as box, _tried_again_at_once(dag):
            run = dag.test(**options)
            self.tasks, self.states, kept = tasks(run), states(run), xcoms(run)
            self.messages, self.mails = list(box.slack.messages), list(box.mail.mails)
        self.xcoms = {(row.task, row.key): row.value for row in kept.itertuples()}
        self.errors = {
            task: " ".join(words).rstrip(".")
            for (task, _, _), lines in logs.of_run(run).items()
            if (words := _words_of_failure(lines))
        }

    def kept(self, task: str) -> Any:
        """Return what a task returned, or None."""
        return self.xcoms.get((task, "return_value"))

    def end(self, task: str) -> str:
        """Return how a task ended, in words: what made it fail, or its state."""
        if self.states[task] == "failed":
            return f"failed: {self.errors.get(task, 'its log says no more')}"
        return f"is {self.states[task]}"

    def expect_success(self, introduction: str = "") -> Self:
        """Go on only if every task succeeded.

        Raises:
            Wrong: one did not; with the introduction before the sentence. One that failed comes
                before those that wait for it.
        """
        for task, state in sorted(
            self.states.items(), key=lambda each: (each[1] != "failed", each)
        ):
            wrong = f"{introduction}The task {task} {self.end(task)}."
            expect(state == "success", wrong)
        return self


@contextmanager
def _tried_again_at_once(dag: Any) -> Iterator[None]:
    """Let the tasks of a DAG be tried again without a delay."""
    at_once = {"retry_delay": timedelta(0), "retry_exponential_backoff": 0}
    # A mapped task keeps what its instances get.
    kept = [getattr(task, "partial_kwargs", vars(task)) for task in dag.tasks]
    before = [dict(values) for values in kept]
    for values in kept:
        values.update(at_once)
    try:
        yield
    finally:
        for values, old in zip(kept, before, strict=True):
            for name in at_once:
                del values[name]
            values.update({name: old[name] for name in at_once if name in old})


def _words_of_failure(lines: list[tuple[str, str]]) -> list[str]:
    """Return the errors that a try of a task logged, and before them what its command printed."""
    errors = [message for level, message in lines if level in ("error", "critical")]
    messages = [message for _, message in lines]
    if "Output:" in messages and errors:  # a sensor has one for each of its looks
        begin = len(messages) - messages[::-1].index("Output:")
        printed = takewhile(lambda line: not line.startswith("Command exited"), messages[begin:])
        errors = [*list(printed)[-PRINTED:], *errors]
    told = [message.strip() for message in errors if not FRAME.match(message)]
    words = [message for message in dict.fromkeys(told) if message != FAILED]
    # The seconds in a sensor's last words may be those of a judge.
    return [word for word in words if "AirflowSensorTimeout" not in word] or (words and [NEVER])
