"""The magics and what happens around a cell, in a shell of IPython within this process."""

import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from workshop.ground import Problem
from workshop.ground.cells import code_cells
from workshop.lab import TaskLogs, Warming, current, dagcell
from workshop.lab.session import Session
from workshop.show import Graphs
from workshop.slides import Builder, Cells, magics

IMPORTS = "from airflow.sdk import DAG\n"
DAG = 'dag = DAG(dag_id="gcp_spy")\n'
DAILY = 'dag = DAG(dag_id="gcp_spy", schedule="@daily")\n'


@pytest.fixture
def shell() -> Iterator[Any]:
    """Return a shell that knows the magics of a notebook that has not started."""
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance()
    magics.load_ipython_extension(made)
    yield made
    InteractiveShell.clear_instance()


@pytest.fixture
def session(lab: Any, monkeypatch: Any) -> Session:
    """Return a session in which no notebook has its magics yet."""
    made = Session()
    for part in (current()[TaskLogs], current()[Warming], current()[Graphs], Cells()):
        made.put(part)
    monkeypatch.setattr(magics, "current", lambda: made)
    return made


@pytest.fixture
def notebook(shell: Any, session: Session) -> Any:
    magics.follow(shell)
    magics.register(shell)
    return shell


def schedule(notebook: Any) -> Any:
    return notebook.user_ns["dag"].schedule


def test_a_cell_run_too_early_says_what_to_run(shell: Any, monkeypatch: Any, capsys: Any) -> None:
    for module in (magics, dagcell):
        monkeypatch.setattr(module, "current", Session)
    for magic in ("slide 22 imports", "exercise weekdays dag", "solution weekdays dag", "dag mine"):
        shell.run_cell(f"%%{magic}\n{IMPORTS}")
        assert "run the notebook's first cells" in capsys.readouterr().out


def test_slides_exercises_and_solutions_write_the_file(
    notebook: Any, session: Session, capsys: Any
) -> None:
    notebook.run_cell(f"%%slide 22 imports\n{IMPORTS}")
    notebook.run_cell(f"%%slide 22 dag\n{DAG}")
    assert "1 task" not in (said := capsys.readouterr().out)
    assert said.splitlines()[1] == "gcp_spy.py · 9 lines · 0 tasks · dag: new, 1 line"
    assert schedule(notebook) is None
    attempts = session[Builder].attempts
    for magic, given in (("exercise", False), ("solution", True)):
        notebook.run_cell(f"%%{magic} weekdays dag\n{DAILY}")
        assert capsys.readouterr().out == (
            "gcp_spy.py · 9 lines · 0 tasks · dag: 1 line in, 1 out\n"
        )
        assert schedule(notebook) == "@daily"
        assert (attempts["weekdays"].given, attempts["weekdays"].parts) == (given, {"dag": DAILY})
    notebook.run_cell(f"%%slide 22 dag\n{DAG}")
    assert schedule(notebook) is None
    capsys.readouterr()
    magics.catch_up(31)
    assert capsys.readouterr().out.startswith("As after slide 31: gcp_spy.py · ")
    assert len(notebook.user_ns["dag"].tasks) == 4


def test_the_cure_that_a_message_names_works_where_nobody_imported_it(
    notebook: Any, session: Session, capsys: Any
) -> None:
    notebook.run_cell("%%slide 25 list_instances\nbash_task = BashOperator(task_id='t', dag=dag)")
    cure = re.search(r"catch_up\(\d+\)", capsys.readouterr().out)
    assert cure
    notebook.run_cell(cure[0])
    assert capsys.readouterr().out.startswith(f"As after slide {cure[0][9:-1]}: gcp_spy.py · ")
    notebook.run_cell("stored()")
    assert "Nothing is stored" in capsys.readouterr().out
    assert {"catch_up", "stored"} <= set(notebook.user_ns_hidden)


def test_a_notebook_gets_its_magics_once(notebook: Any, session: Session) -> None:
    builder, seen = session[Builder], list[str]()
    session[Cells].observers.append(seen.append)
    magics.register(notebook)
    assert session[Builder] is builder
    notebook.run_cell("a = 1")
    notebook.run_cell("b = 2")
    assert seen == ["a = 1", "b = 2"]
    assert (session[Cells].before, session[Cells].now) == ("a = 1", "b = 2")


def test_an_interrupt_is_shown_by_the_workbook(
    shell: Any, session: Session, monkeypatch: Any
) -> None:
    shown = []

    def show(shell: Any, kind: Any, error: Any, trace: Any) -> None:
        shown.append(kind)

    monkeypatch.setattr(magics, "show_error", show)
    magics.follow(shell)
    shell.run_cell("raise KeyboardInterrupt")
    assert shown == [KeyboardInterrupt]


def test_an_error_in_airflow_leaves_what_a_debugger_looks_at(notebook: Any) -> None:
    notebook.run_cell("from airflow.sdk import DAG\nDAG('no blanks, please')")
    frames = [frame for frame, _ in traceback.walk_tb(sys.last_traceback)]
    of_airflow = [it for it in frames if it.f_globals["__name__"].startswith("airflow.")]
    assert of_airflow and all("self" in frame.f_locals for frame in of_airflow[:1])


def test_an_error_of_syntax_in_a_call_is_shown_with_the_way_to_it(
    notebook: Any, capsys: Any
) -> None:
    notebook.run_cell("def compute():\n    exec('1 +')\ncompute()")
    said = capsys.readouterr().out
    assert "compute()" in said and "invalid syntax" in said


def test_a_command_waits_until_airflow_is_warm(
    notebook: Any, session: Session, monkeypatch: Any
) -> None:
    """Else IPython may lose what a short command prints."""
    waited = []
    monkeypatch.setattr(session[Warming], "wait", lambda: waited.append(session[Cells].now))
    cells = ["!true", "names = !true", "if 1:\n    !true"]
    for source in [*cells, "print('!', 1 != 2)", "names = '!true'"]:
        notebook.run_cell(source)
    assert waited == cells


def test_an_import_of_an_older_airflow_names_today_s_in_any_cell(
    notebook: Any, capsys: Any
) -> None:
    notebook.run_cell("from airflow.operators.python_operator import PythonOperator")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("ModuleNotFoundError: No module named 'airflow.operators")
    assert "PythonOperator` from `airflow.providers.standard.operators.python`" in second
    notebook.run_cell("import nothing_of_airflow")
    assert "Traceback" in capsys.readouterr().out


def test_the_end_of_a_cell_settles_its_graphs(
    notebook: Any, session: Session, monkeypatch: Any
) -> None:
    ended = []
    monkeypatch.setattr(session[Graphs], "settle", lambda: ended.append("graphs"))
    notebook.run_cell("1 / 1")
    assert ended == ["graphs"]


def test_what_is_stored_for_the_cell_before_is_shown(
    notebook: Any, session: Session, capsys: Any
) -> None:
    """Printed text and what was displayed, of cells with one of them and with both."""
    kinds: dict[tuple[bool, ...], Any] = {}
    for name, _, cell in code_cells():
        outputs = cell["outputs"]
        kinds.setdefault(tuple("text" in output for output in outputs), (name, cell))
    assert {(True,), (False,), (True, False)} <= kinds.keys()
    for name, cell in kinds.values():
        session[Cells].now = f"\n{''.join(cell['source'])}\n"  # as if it had run
        notebook.run_cell("pass")
        magics.stored()
        shown = capsys.readouterr().out
        first, _, rest = shown.partition("\n")
        assert first == f"Stored in {name}, not run now:"
        forms = [output.get("text") or output["data"]["text/plain"] for output in cell["outputs"]]
        ends = ["" if "text" in output else "\n" for output in cell["outputs"]]
        expected = ("".join(form) + end for form, end in zip(forms, ends, strict=True))
        assert rest == "".join(expected)


def test_nothing_is_stored_for_a_cell_of_one_s_own(notebook: Any, capsys: Any) -> None:
    sentence = "Nothing is stored: the cell that ran before this one is not the workbook's."
    for source in ("pass", "print('mine')", "pass", "", "pass"):  # the first one has none before
        notebook.run_cell(source)
        with pytest.raises(Problem) as raised:
            magics.stored()
        assert str(raised.value) == sentence
