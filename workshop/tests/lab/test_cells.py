"""DAGs in plain cells and in `%%dag` cells: they behave as the same file does with bare Airflow."""

import inspect
import pickle
import re
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from workshop import show
from workshop.ground import Problem
from workshop.lab import Runs, current, dagcell
from workshop.lab import inside as lab_inside
from workshop.slides import magics

FRUIT = """\
from airflow.sdk import DAG, task

with DAG("fruit") as fruit:

    @task
    def apples():
        return 3

    @task
    def pears(number):
        print(number, "apples")
        return number + 1

    pears(apples())
"""


@pytest.fixture(autouse=True)
def no_file_of_the_same_name(lab: Any) -> None:
    """Remove what another test wrote: a run reads the folder, and stores a second DAG `fruit`."""
    (lab.dags / "fruit.py").unlink(missing_ok=True)


def source_of(dag: Any) -> str:
    from airflow.models.dagcode import DagCode

    return str(DagCode.get_latest_dagcode(dag.dag_id).source_code)


def versions_of(dag: Any) -> int:
    from airflow.models.dag_version import DagVersion

    return int(DagVersion.get_latest_version(dag.dag_id).version_number)


# --- a plain cell


def test_a_dag_in_a_plain_cell_runs_and_everything_works_on_it(cell: Any, capsys: Any) -> None:
    names = cell(FRUIT + "\nrun = fruit.test()\n")
    run = names["run"]
    assert run.state == "success"
    assert repr(show.draw(run)).startswith("fruit [success]\n")
    assert list(show.tasks(run)["state"]) == ["success", "success"]
    assert dict(zip(show.xcoms(run)["task"], show.xcoms(run)["value"], strict=True)) == {
        "apples": 3, "pears": 4,
    }  # fmt: skip
    show.logs(run, "pears")
    assert "info    3 apples\n" in capsys.readouterr().out
    assert show.watch(names["fruit"]).stored_text == repr(show.draw(names["fruit"]))
    assert source_of(names["fruit"]) == FRUIT + "\nrun = fruit.test()\n"


def test_a_changed_cell_is_a_new_version_and_its_source_is_stored(cell: Any) -> None:
    fruit = cell(FRUIT)["fruit"]
    assert fruit.test().state == "success"
    first = versions_of(fruit)
    fruit.test()
    assert versions_of(fruit) == first
    changed = FRUIT.replace(
        "pears(apples())", "pears(apples()) >> pears.override(task_id='more')(1)"
    )
    fruit = cell(changed)["fruit"]
    run = fruit.test()
    assert versions_of(fruit) == first + 1
    assert source_of(fruit) == changed
    assert list(show.tasks(run)["task"]) == ["apples", "more", "pears"]


def test_a_dag_in_a_cell_and_one_of_its_id_in_a_file_are_not_stored_in_turn(cell: Any) -> None:
    fruit = cell(f"%%dag fruit\n{FRUIT}")["fruit"]
    assert fruit.test().state == "success"
    first = versions_of(fruit)
    changed = FRUIT.replace("apples", "plums")
    names = cell(f"{changed}\nwith DAG('basket') as basket: ...")
    for name in ("fruit", "basket", "fruit"):
        assert names[name].test().state == "success"
        assert versions_of(fruit) == first + 1
        assert source_of(fruit).startswith(changed)
    assert fruit.test().state == "success"  # that of the file
    assert versions_of(fruit) == first + 2
    assert source_of(fruit) == FRUIT


def test_two_dags_in_a_cell_one_under_a_decorator_and_one_that_a_function_makes(cell: Any) -> None:
    names = cell(
        "from airflow.sdk import dag, task\n@task\ndef two():\n    return 2\n"
        "@dag\ndef left():\n    two()\n@dag\ndef right():\n    two()\n"
        "a, b = left(), right()"
    )
    assert [names["a"].test().state, names["b"].test().state] == ["success", "success"]
    cell(
        "from airflow.sdk import DAG\ndef make(name):\n    with DAG(name) as made:\n"
        "        two()\n    return made"
    )
    made = cell("made = [make('of_may'), make('of_june')]")["made"]
    assert [dag.test().state for dag in made] == ["success", "success"]


def test_a_dag_of_a_module_beside_the_notebook_runs(cell: Any, work_in: Path) -> None:
    (work_in / "beside_me.py").write_text(FRUIT)
    cell("import sys\nsys.path.insert(0, '')\nfrom beside_me import fruit\nsys.path.pop(0)")
    fruit = cell("run = fruit.test()")["fruit"]
    assert source_of(fruit) == FRUIT


def test_an_error_in_a_task_shows_the_learner_s_lines_alone(cell: Any, capsys: Any) -> None:
    run = cell(
        "from airflow.sdk import DAG, task\ndef deeper(x):\n    return 1 / x\n"
        "with DAG('wrong') as wrong:\n    @task\n    def share():\n        deeper(0)\n"
        "    share()\nrun = wrong.test()"
    )["run"]
    assert run.state == "failed"
    show.logs(run)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        "error     a cell, line 7, in share: deeper(0)",
        "error     a cell, line 3, in deeper: return 1 / x",
        "error   ZeroDivisionError: division by zero",
    ]
    assert "airflow" not in "".join(lines)


def test_runs_of_one_moment_have_logs_of_their_own(cell: Any, capsys: Any) -> None:
    """A run's id is made of its moment, so two of them can have the same."""

    def logged(source: str, name: str) -> str:
        at = "logical_date=moment, run_after=moment"
        head = "import pendulum\nmoment = pendulum.datetime(2018, 12, 1, tz='UTC')\n"
        run = cell(f"{head}{source}\nrun = {name}.test({at})")["run"]
        capsys.readouterr()
        show.logs(run)
        return str(capsys.readouterr().out)

    assert "3 apples" in logged(FRUIT, "fruit")
    said = logged(FRUIT.replace("fruit", "berries").replace("apples", "cherries"), "berries")
    assert re.findall("── .*", said) == ["── cherries, try 1", "── pears, try 1"]
    assert "3 cherries" in said and "3 apples" not in said
    said = logged(FRUIT.replace("apples", "plums"), "fruit")
    assert re.findall("── .*", said) == ["── plums, try 1", "── pears, try 1"]
    assert "3 plums" in said and "3 apples" not in said


# --- a cell with %%dag


def test_a_dag_runs_in_the_cell_that_writes_its_file(cell: Any, capsys: Any, lab: Any) -> None:
    run = cell(f"%%dag fruit\n{FRUIT}run = fruit.test()\n")["run"]
    assert run.state == "success"
    assert "write .test() into another cell" in capsys.readouterr().out
    names = cell("again = fruit.test()")
    assert names["again"].state == "success"


def test_what_stands_under_main_runs_last_and_not_when_airflow_reads_the_file(
    cell: Any, capsys: Any
) -> None:
    main = "if __name__ == '__main__':\n    run = fruit.test()\n    print(run.state)\n"
    cell(f"%%dag fruit\nprint('read')\n{FRUIT}{main}")
    assert capsys.readouterr().out == "read\nfruit.py · 18 lines · fruit with 2 tasks\nsuccess\n"
    cell("run = fruit.test()")
    assert capsys.readouterr().out == ""


def test_an_error_under_main_is_one_of_the_file_s_lines(cell: Any, lab: Any) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        cell(f"%%dag fruit\n{FRUIT}if __name__ == '__main__':\n    1 / 0\n")
    last = traceback.extract_tb(raised.value.__traceback__)[-1]
    lines = (lab.dags / "fruit.py").read_text().splitlines()
    assert last.filename == str(lab.dags / "fruit.py") and last.lineno
    assert lines[last.lineno - 1] == "    1 / 0"


def test_a_cell_is_a_module(cell: Any, lab: Any) -> None:
    names = cell(
        "%%dag shapes\n"
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from pathlib import Path\n"
        "from airflow.sdk import DAG, task\n"
        "here = Path(__file__)\n"
        "module = __name__\n"
        "@dataclass\n"
        "class Square:\n"
        "    side: int\n"
        "    def area(self) -> int:\n"
        "        return self.side ** 2\n"
        "with DAG('shapes') as shapes:\n"
        "    @task\n"
        "    def area():\n"
        "        return Square(3).area()\n"
        "    area()\n"
        "twice = lambda x: 2 * x"
    )
    assert names["here"] == lab.dags / "shapes.py"
    assert names["module"] == "shapes"
    square = names["Square"](4)
    assert pickle.loads(pickle.dumps(square)).area() == 16
    assert inspect.getsource(names["Square"]).splitlines()[1] == "class Square:"
    assert inspect.getsource(names["twice"]) == "twice = lambda x: 2 * x\n"
    assert names["shapes"].test().state == "success"


def test_a_name_of_another_module_stays_that_module_s(cell: Any) -> None:
    import colorsys

    names = cell(f"%%dag colorsys\nme = __name__\n{FRUIT}")
    assert names["me"] == "dag_colorsys"
    assert inspect.getmodule(colorsys.hls_to_rgb) is colorsys


def test_a_cell_that_fails_leaves_the_module_before(cell: Any) -> None:
    names = cell(f"%%dag fruit\nbasket = 1\n{FRUIT}")
    with pytest.raises(ZeroDivisionError):
        dagcell.write("fruit", f"basket = 2\n{FRUIT}1 / 0\n", {})
    assert sys.modules["fruit"].basket == 1
    assert inspect.getsource(names["pears"].function).startswith("    @task\n    def pears")


@pytest.mark.parametrize(
    ("source", "held"),
    [
        ("from airflow.sdk import dag\n@dag\ndef bare(): ...\nbare()\n", "my_dag = bare()"),
        ("from airflow.sdk import DAG\nwith DAG('loose'): ...\n", "with DAG('loose') as my_dag:"),
        ("from airflow.sdk import asset\n@asset(schedule=None)\ndef stock(): ...\n", ""),
    ],
)
def test_a_dag_without_a_name_is_taken_as_airflow_takes_it(
    lab: Any, source: str, held: str
) -> None:
    said = dagcell.write("unnamed", source, {})
    assert ("To run it here, give it a name" in said) == bool(held)
    assert said.endswith(held)


def test_a_print_at_the_top_of_a_file_is_shown_once(cell: Any, capsys: Any) -> None:
    cell(f"%%dag loud\nimport sys\nprint('read me')\nsys.stderr.write('and me')\n{FRUIT}")
    capsys.readouterr()
    cell(f"%%dag fruit\n{FRUIT}")
    cell("fruit.test()")
    said = capsys.readouterr()
    assert "me" not in said.out + said.err


# --- sentences


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("with DAG('d', schedule='each day') as d: ...", "The schedule 'each day' of the DAG 'd'"),
        (
            "@dag\ndef d(): ...",
            r"'d' makes a DAG when it is called, and nobody calls it: add d\(\)",
        ),
        ("x = 3", r"write, for example, broken = DAG\('broken'\)"),
    ],
)
def test_what_airflow_would_not_take_is_a_sentence(lab: Any, source: str, sentence: str) -> None:
    imports = "from airflow.sdk import DAG, dag\n"
    with pytest.raises(Problem, match=sentence):
        dagcell.write("broken", imports + source, {})
    assert not (lab.dags / "broken.py").exists()


@pytest.mark.parametrize("conf", [None, {"size": "large"}])
def test_params_that_are_missing_or_wrong_are_a_sentence(lab: Any, conf: Any) -> None:
    names: dict[str, Any] = {}
    dagcell.write(
        "sized",
        "from airflow.sdk import DAG, Param\n"
        "sized = DAG('sized', params={'size': Param(type='integer')})\n",
        names,
    )
    with pytest.raises(Problem, match=r"param size.*Give params their values") as told:
        names["sized"].test(run_conf=conf)
    assert "\n" not in str(told.value)
    assert names["sized"].test(run_conf={"size": 3}).state == "success"


@pytest.mark.parametrize(
    ("given", "named"), [((), {"use_executor": True}), ((None, None, None, None, None, True), {})]
)
def test_an_executor_that_would_find_no_server_is_a_sentence(
    cell: Any, given: Any, named: Any
) -> None:
    fruit = cell(FRUIT)["fruit"]
    with pytest.raises(Problem, match=r"API server, and none runs here: leave use_executor out\.$"):
        fruit.test(*given, **named)
    assert fruit.test(use_executor=False).state == "success"


WATCHED = """\
from datetime import timedelta

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference, task

late = DeadlineAlert(
    DeadlineReference.DAGRUN_QUEUED_AT, timedelta(hours=1), AsyncCallback(SmtpNotifier)
)
with DAG("watched", deadline=late) as watched:
    task(lambda: print("good morning"), task_id="hello")()
"""


def test_a_deadline_that_airflow_cannot_look_up_is_a_sentence(cell: Any) -> None:
    with pytest.raises(Problem, match=r"^All tasks ran, .* has a deadline\. A scheduler can\."):
        cell(WATCHED)["watched"].test()


def test_an_import_of_an_older_airflow_names_today_s(lab: Any) -> None:
    old = "from airflow.operators.bash_operator import BashOperator\n"
    with pytest.raises(ImportError) as raised:
        dagcell.write("old", old, {})
    lines = raised.value._render_traceback_()  # type: ignore[attr-defined]
    assert any("airflow.providers.standard.operators.bash" in line for line in lines)
    assert dagcell.todays_names(ImportError("x", name="nothing_of_airflow"), old) == []
    gone = "from airflow.operators.subdag import SubDagOperator\n"
    told = dagcell.todays_names(ImportError("x", name="airflow.operators.subdag"), gone)
    assert told == ["`airflow.operators.subdag.SubDagOperator` is removed in Airflow 3.0"]


def test_an_older_import_in_a_plain_cell_is_shown_with_today_s_name(
    cell: Any, capsys: Any, work_in: Path, monkeypatch: Any
) -> None:
    magics.follow(InteractiveShell.instance())
    with pytest.raises(ImportError):
        cell("one = 1\nfrom airflow.operators.bash_operator import BashOperator\n")
    shown = capsys.readouterr().out
    first, second = shown.splitlines()
    assert first == "ModuleNotFoundError: No module named 'airflow.operators.bash_operator'"
    assert "BashOperator" in second and "airflow.providers.standard.operators.bash" in second
    (work_in / "older.py").write_text(
        "from airflow.operators.bash_operator import BashOperator\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(work_in)
    with pytest.raises(ImportError):
        cell("import older\n")
    assert capsys.readouterr().out == shown, "it stands in the learner's own module"
    with pytest.raises(ImportError):
        cell("from airflow import nothing\n")
    assert "Traceback" in capsys.readouterr().out, "of what ruff does not know IPython tells"


@pytest.mark.parametrize(
    ("body", "line", "said"),
    [
        (
            "BashOperator(task_id='a', bash_command='x')\n    "
            "BashOperator(task_id='a', bash_command='x')",
            "----> 5     BashOperator(task_id='a', bash_command='x')",
            "DuplicateTaskIdFound: Task id 'a' has already been added to the Dag",
        ),
        (
            "BashOperator(task_id='a')",
            "----> 4     BashOperator(task_id='a')",
            "TypeError: missing keyword argument 'bash_command'",
        ),
        (
            "BashOperator(task_id='a', bash_command='x') >> 3",
            "----> 4     BashOperator(task_id='a', bash_command='x') >> 3",
            "AttributeError: 'int' object has no attribute 'update_relative'",
        ),
        (
            "task(lambda: 1, task_id='a').function() / 0",
            "----> 4     task(lambda: 1, task_id='a').function() / 0",
            "ZeroDivisionError: division by zero",
        ),
    ],
)
def test_what_airflow_refuses_in_a_plain_cell_is_shown_at_the_cell_s_line_alone(
    cell: Any, capsys: Any, body: str, line: str, said: str
) -> None:
    shell = InteractiveShell.instance()
    magics.follow(shell)
    shell.colors = "nocolor"
    with pytest.raises(Exception, match=re.escape(said.partition(": ")[2])):
        cell(
            "from airflow.sdk import DAG, task\n"
            "from airflow.providers.standard.operators.bash import BashOperator\n"
            f"with DAG('refused') as refused:\n    {body}\n"
        )
    lines = capsys.readouterr().out.splitlines()
    assert line in lines and lines[-1] == said
    assert len([it for it in lines if it.startswith(("Cell In", "File "))]) == 1


def test_an_operator_that_a_cell_executes_by_itself_shows_where_it_failed(
    cell: Any, capsys: Any
) -> None:
    magics.follow(InteractiveShell.instance())
    with pytest.raises(ValueError, match="the reason"):
        cell(
            "from airflow.sdk import BaseOperator\n"
            "class Fails(BaseOperator):\n    def execute(self, context):\n"
            "        int.from_bytes(self.inner(), 'big')\n"
            "    def inner(self):\n        raise ValueError('the reason')\n"
            "Fails(task_id='fails').execute({})\n"
        )
    assert "in Fails.inner" in re.sub("\x1b.*?m", "", capsys.readouterr().out)


def test_arrows_that_lead_in_a_circle_are_a_sentence_in_a_plain_cell(cell: Any) -> None:
    ring = "from airflow.sdk import DAG, task\nwith DAG('ring') as ring:\n"
    ring += "    a, b = (task(lambda: 1, task_id=name)() for name in 'ab')\n    a >> b >> a\n"
    with pytest.raises(Problem) as told:
        cell(f"{ring}ring.test()")
    assert str(told.value) == (
        "These arrows lead in a circle: a >> b >> a. A DAG has none: take one of them out."
    )


@pytest.mark.parametrize(("old", "new"), [('"fruit"', '"owoce_żółte"'), ("pears(", "grusze_ź(")])
def test_ids_beyond_ascii_fail_with_airflow_s_reason_and_the_cure(
    lab: Any, capsys: Any, old: str, new: str
) -> None:
    """When this is red, Airflow has mended it: take the sentence out."""
    names: dict[str, Any] = {}
    dagcell.write("fruit", FRUIT.replace(old, new), names)
    run = names["fruit"].test()
    assert run.state == "failed"
    show.logs(run)
    assert "dag_display_name and task_display_name may have them" in capsys.readouterr().out


def test_a_run_that_would_never_end_ends_with_a_sentence(lab: Any) -> None:
    import pendulum

    names: dict[str, Any] = {}
    dagcell.write(
        "chained",
        "import pendulum\nfrom airflow.sdk import DAG, task\n"
        "start = pendulum.datetime(2018, 12, 1, tz='UTC')\n"
        "with DAG('chained', start_date=start, schedule='@daily') as chained:\n"
        "    @task(depends_on_past=True)\n    def link(ds=None):\n"
        "        assert ds != '2018-12-01'\n    link()\n",
        names,
    )
    days = [pendulum.datetime(2018, 12, day, tz="UTC") for day in (1, 2)]
    assert names["chained"].test(logical_date=days[0]).state == "failed"
    with pytest.raises(Problem, match=r"would never end: 'link' waits\. depends_on_past"):
        names["chained"].test(logical_date=days[1])


@pytest.mark.parametrize(
    ("source", "waits", "time_ends_it"),
    [
        (
            "from airflow.providers.standard.operators.hitl import ApprovalOperator\n"
            "with DAG('asks') as asks:\n    ApprovalOperator(task_id='ok', subject='Shall we?')\n",
            "'ok' waits for a person, who answers in Airflow's UI",
            False,
        ),
        (
            "from datetime import timedelta\n"
            "with DAG('asks') as asks:\n"
            "    @task(retries=1, retry_delay=timedelta(days=400))\n"
            "    def ok():\n        raise ValueError\n    ok()\n",
            "'ok' waits. Task is not ready for retry yet",
            True,
        ),
    ],
)
def test_what_a_run_waits_for_is_told_and_whether_time_ends_it(
    lab: Any, source: str, waits: str, time_ends_it: bool
) -> None:
    names: dict[str, Any] = {}
    dagcell.write("asks", f"from airflow.sdk import DAG, task\n{source}", names)
    told: list[tuple[str, bool]] = []

    def stop(what: str, ends: bool) -> None:
        told.append((what, ends))
        raise Problem("enough")

    current()[Runs].waits.insert(0, stop)
    try:
        with pytest.raises(Problem, match="enough"):
            names["asks"].test()
    finally:
        current()[Runs].waits.remove(stop)
    ((what, ends),) = told
    assert what.startswith(waits) and ends is time_ends_it


def test_all_that_a_run_waits_for_is_told(lab: Any, monkeypatch: Any) -> None:
    reasons = {"'a' waits": "nobody", "'b' waits": "nobody"}
    monkeypatch.setattr(lab_inside, "why_it_waits", lambda dag_id: reasons)
    runs, told = Runs(), []
    runs.waits.append(lambda what, ends: told.append((what, ends)))
    with pytest.raises(Problem, match=r"^The run of '' would never end: 'a' waits; 'b' waits[.]$"):
        runs.waiting()
    reasons["'b' waits"] = "time"
    runs.waiting()
    reasons["'b' waits"] = "a person"
    runs.waiting()
    assert told == [("'a' waits; 'b' waits", True), ("'a' waits; 'b' waits", False)]


def test_a_mapped_task_tries_again_at_once(lab: Any) -> None:
    """Airflow's default delay of five minutes is not that of the settings, of a mapped task."""
    names: dict[str, Any] = {}
    dagcell.write(
        "stubborn",
        "from airflow.sdk import DAG, task\n"
        "with DAG('stubborn') as stubborn:\n"
        "    @task(retries=1)\n    def knock(door, ti=None):\n"
        "        assert ti.try_number == 2\n"
        "    knock.expand(door=[1, 2])\n",
        names,
    )
    waits: list[str] = []

    def wait(what: str, ends: bool) -> None:
        waits.append(what)

    current()[Runs].waits.append(wait)
    try:
        run = names["stubborn"].test()
    finally:
        current()[Runs].waits.remove(wait)
    assert list(show.tasks(run)["tries"]) == [2, 2] and run.state == "success"
    assert waits == []
