"""The exercises of the notebook 15_from_2_to_3."""

from typing import Any

from workshop.exercises.judging import Ran, expect, expect_dag

DAYS = ("2018-12-01", "2018-12-02")
BEGINS = "2018-12-05"


def dateless(dag: Any) -> None:
    """Expect a title with the run's day, and without a date that on which the run may begin."""
    import pendulum

    expect_dag(dag, 'check("dateless", inventory)', "title")
    runs: list[tuple[str, str, dict[str, Any]]] = [
        *((f"In the run of {day}", day, {"logical_date": pendulum.parse(day)}) for day in DAYS),
        (
            f"In a run without a date that may begin on {BEGINS}",
            BEGINS,
            {"logical_date": None, "run_after": pendulum.parse(BEGINS)},
        ),
    ]
    for where, day, options in runs:
        got = Ran(dag, "talk", **options).expect_success(f"{where}: ").kept("title")
        wanted = f"Inventory of {day}"
        expect(got == wanted, f"{where} title returned {got!r}, not {wanted!r}.")
