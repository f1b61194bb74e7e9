"""`%%slide` as a learner uses it: again, out of order, and wrong."""

from functools import partial
from typing import Any

import pytest

from workshop.ground import Problem
from workshop.ground.cells import parse_slide, read_steps
from workshop.ground.talk import last_slide
from workshop.slides import FILE_NAME, Builder

IMPORTS = """\
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
"""
DAG = 'dag = DAG(dag_id="gcp_spy")\n'
TASK = 'bash_task = BashOperator(\n    task_id="{}",\n    bash_command="echo",\n    dag=dag,\n)\n'


@pytest.fixture
def names() -> dict[str, Any]:
    return {}


@pytest.fixture
def builder(lab: Any, names: dict[str, Any]) -> Builder:
    made = Builder(names)
    made.write(22, "imports", IMPORTS)
    made.write(22, "dag", DAG)
    return made


def shown(error: BaseException) -> str:
    """Return what a cell shows of an error."""
    lines: list[str] = error._render_traceback_()  # type: ignore[attr-defined]
    return "\n".join(lines)


def test_says_what_the_file_is_now(builder: Builder) -> None:
    said = builder.write(25, "list_instances", TASK.format("one"))
    assert said == "gcp_spy.py · 16 lines · 1 task · list_instances: new, 5 lines"
    said = builder.write(25, "list_instances", TASK.format("two"))
    assert said == "gcp_spy.py · 16 lines · 1 task · list_instances: 1 line in, 1 out"
    said = builder.write(25, "list_instances", TASK.format("two"))
    assert said.endswith("list_instances: unchanged")
    said = builder.write(25, "list_instances", TASK.format("two") + "A = 1\n")
    assert said.endswith("list_instances: 1 line in, 0 out")
    said = builder.write(25, "list_instances", TASK.format("two"))
    assert said.endswith("list_instances: 0 lines in, 1 out")


def test_a_cell_run_again_makes_no_second_task(builder: Builder, names: dict[str, Any]) -> None:
    for _ in range(3):
        builder.write(25, "list_instances", TASK.format("one"))
    assert names["dag"].task_ids == ["one"]


def test_the_last_change_is_the_one_that_runs(builder: Builder, names: dict[str, Any]) -> None:
    """Same length, same second: Python's bytecode cache would take the file for the old one."""
    for name in ("one", "two", "six"):
        builder.write(25, "list_instances", TASK.format(name))
        run = names["dag"].test()
        assert [task.task_id for task in run.get_task_instances()] == [name]


def test_parts_stand_in_the_file_s_order(builder: Builder, lab: Any) -> None:
    builder.write(25, "list_instances", TASK.format("one"))
    builder.write(29, "gcp_services", "GCP_SERVICES = []\n")
    text = (lab.dags / "gcp_spy.py").read_text(encoding="utf-8")
    assert text.index("GCP_SERVICES") < text.index("DAG(") < text.index("BashOperator(")


def test_names_that_left_the_file_leave_the_notebook(
    builder: Builder, names: dict[str, Any]
) -> None:
    names["mine"] = 1
    builder.write(29, "gcp_services", "OLD = 1\n")
    builder.write(29, "gcp_services", "NEW = 2\n")
    assert "OLD" not in names
    assert names["NEW"] == 2
    assert names["mine"] == 1


def test_a_name_that_a_cell_took_away_is_no_hindrance(
    builder: Builder, names: dict[str, Any]
) -> None:
    builder.write(29, "gcp_services", "OLD = 1\n")
    del names["OLD"], names["dag"]
    builder.write(29, "gcp_services", "NEW = 2\n")
    assert names["NEW"] == 2 and names["dag"].dag_id == "gcp_spy"


def test_an_error_is_shown_at_the_line_of_its_cell(builder: Builder, lab: Any) -> None:
    before = (lab.dags / "gcp_spy.py").read_text(encoding="utf-8")
    with pytest.raises(ZeroDivisionError) as raised:
        builder.write(29, "gcp_services", "A = 1\nB = A / 0\n")
    assert shown(raised.value).splitlines() == [
        "ZeroDivisionError: division by zero",
        "in line 3 of this cell: B = A / 0",
        "gcp_spy.py stays as it was.",
    ]
    assert (lab.dags / "gcp_spy.py").read_text(encoding="utf-8") == before
    builder.write(29, "gcp_services", "A = 1\n")


def test_an_error_in_another_part_names_that_part(builder: Builder) -> None:
    builder.write(25, "list_instances", TASK.format("one"))
    with pytest.raises(Exception, match="int") as raised:
        builder.write(24, "dag", "dag = 3\n")
    assert "of the part list_instances" in shown(raised.value)


def test_a_dag_that_is_none_is_a_sentence_and_the_file_stays(builder: Builder, lab: Any) -> None:
    before = (lab.dags / FILE_NAME).read_text()
    with pytest.raises(Problem, match="'dag' is of the type int, and no DAG"):
        builder.write(24, "dag", "dag = 3\n")
    assert (lab.dags / FILE_NAME).read_text() == before


def test_a_syntax_error_is_shown_at_the_line_of_its_cell(builder: Builder) -> None:
    wrong = "a = (\n    1 2\n)\n"
    for write in (partial(builder.write, 25), partial(builder.attempt, "weekdays", given=False)):
        with pytest.raises(Problem, match="in line 3 of this cell") as raised:
            write(part="list_instances", source=wrong)
        assert str(raised.value).endswith("gcp_spy.py stays as it was.")


def test_a_cell_run_too_early_says_what_to_run(lab: Any) -> None:
    with pytest.raises(NameError) as raised:
        Builder({}).write(24, "list_instances", TASK.format("one"))
    assert "'BashOperator' is made on slide 25: run that cell first, or catch_up(25)." in shown(
        raised.value
    )


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "Write '%%slide N part'"),
        ("dag", "Write '%%slide N part'"),
        ("24 dag now", "Write '%%slide N part'"),
        ("99 dag", "There is no slide 99"),
        ("0 dag", "There is no slide 0"),
        ("24 dags", "Did you mean 'dag'"),
        ("24 zzz", "There is no part 'zzz'. The parts are: imports"),
    ],
)
def test_an_unknown_slide_or_part_is_one_sentence(line: str, sentence: str) -> None:
    with pytest.raises(Problem, match=sentence):
        parse_slide(line)


def test_catching_up_to_nothing_is_one_sentence(lab: Any) -> None:
    with pytest.raises(Problem, match="the first part is on slide 22"):
        Builder({}).catch_up(3)


@pytest.mark.parametrize("slide", [last_slide() + 1, 4000, 0, -22])
def test_catching_up_to_a_slide_that_is_none_is_refused(
    lab: Any, names: dict[str, Any], slide: int
) -> None:
    builder = Builder(names)
    builder.catch_up(25)
    text = (lab.dags / "gcp_spy.py").read_text()
    with pytest.raises(Problem, match=f"^There is no slide {slide}: the talk has the slides 1 to "):
        builder.catch_up(slide)
    assert (lab.dags / "gcp_spy.py").read_text() == text


@pytest.mark.parametrize("slide", ["31", 31.0, True, None])
def test_catching_up_to_no_number_is_one_sentence(slide: Any) -> None:
    from workshop import slides

    with pytest.raises(Problem, match=r"^Write the slide's number: catch_up\(31\)\.$"):
        slides.catch_up(slide)


def test_a_notebook_run_again_from_its_top_is_as_it_was(lab: Any, names: dict[str, Any]) -> None:
    builder = Builder(names)
    steps = [step for step in read_steps() if step.slide <= 31]
    first = [builder.write(step.slide, step.part, step.source) for step in steps]
    again = [builder.write(step.slide, step.part, step.source) for step in steps]
    assert again[0].startswith("gcp_spy.py · 7 lines · no DAG yet")
    assert "Out, because a later slide does not fit any more: gcp_services, dag" in again[0]
    assert "(NameError: " in again[0]
    assert [said.split(" · ")[1:3] for said in again] == [said.split(" · ")[1:3] for said in first]


def test_an_earlier_slide_that_fits_keeps_the_later_ones(
    builder: Builder, names: dict[str, Any]
) -> None:
    builder.write(25, "list_instances", TASK.format("one"))
    builder.write(24, "dag", 'dag = DAG(dag_id="gcp_spy", schedule="@daily")\n')
    assert names["dag"].task_ids == ["one"]


def test_an_exercise_stands_over_the_slides_and_goes(
    builder: Builder, names: dict[str, Any]
) -> None:
    builder.write(25, "list_instances", TASK.format("one"))
    other = 'dag = DAG(dag_id="gcp_spy", schedule="@daily")\n'
    said = builder.attempt("weekdays", "dag", other, given=False)
    assert said == "gcp_spy.py · 16 lines · 1 task · dag: 1 line in, 1 out"
    assert names["dag"].schedule == "@daily"
    builder.attempt("fifth", "list_instances", TASK.format("two"), given=False)
    assert (names["dag"].schedule, names["dag"].task_ids) == (None, ["two"])
    builder.use_attempt("weekdays")
    assert (names["dag"].schedule, names["dag"].task_ids) == ("@daily", ["one"])
    builder.write(25, "list_instances", TASK.format("six"))
    assert (names["dag"].schedule, names["dag"].task_ids) == (None, ["six"])


def test_the_cells_of_one_exercise_add_up_and_its_solution_begins_anew(
    builder: Builder, names: dict[str, Any]
) -> None:
    daily = 'dag = DAG(dag_id="gcp_spy", schedule="@daily")\n'
    for given in (False, True):
        builder.attempt("weekdays", "dag", daily, given=given)
        assert builder.attempts["weekdays"].parts == {"dag": daily}
        builder.attempt("weekdays", "list_instances", TASK.format("one"), given=given)
        assert (names["dag"].schedule, names["dag"].task_ids) == ("@daily", ["one"])
        assert builder.attempts["weekdays"].given == given
        names["dag"] = "written over"
        assert builder.use_attempt("weekdays").task_ids == ["one"]


def test_an_error_of_an_exercise_is_shown_at_the_line_of_its_cell(builder: Builder) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        builder.attempt("fifth", "gcp_services", "A = 1\nB = A / 0\n", given=False)
    assert "in line 3 of this cell: B = A / 0" in shown(raised.value)


def test_a_name_that_no_slide_makes_gets_no_advice(lab: Any) -> None:
    with pytest.raises(NameError) as raised:
        Builder({}).write(24, "list_instances", "nowhere_made\n")
    assert "catch_up" not in shown(raised.value)


def test_a_cycle_is_one_sentence(builder: Builder, names: dict[str, Any]) -> None:
    builder.write(25, "list_instances", TASK.format("one"))
    with pytest.raises(Problem, match="lead in a circle: one >> two >> one") as raised:
        builder.write(
            45, "dependencies",
            "two = BashOperator(task_id='two', bash_command='echo', dag=dag)\n"
            "bash_task >> two >> bash_task\n",
        )  # fmt: skip
    assert "stays as it was" in str(raised.value)
    assert names["dag"].task_ids == ["one"]
