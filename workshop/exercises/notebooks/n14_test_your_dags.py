"""The exercises of the notebook 14_test_your_dags."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any
from unittest import SkipTest

from workshop.exercises.judging import Ran, Wrong, expect, expect_dag, trying
from workshop.sandbox import visit

DAYS = ("2018-12-01", "2018-12-02")


def testable(dag: Any) -> None:
    """Expect a title made of the run's day and of a parameter, and no other team than a text."""
    import pendulum

    expect_dag(dag, 'check("testable", digest)', "title")

    def title(day: str, **options: Any) -> Any:
        with _values_put_back(dag):
            ran = Ran(dag, "talk", logical_date=pendulum.parse(day), **options)
        return ran.expect_success(f"In the run of {day}: ").kept("title")

    for day in DAYS:
        got, wanted = title(day), f"Report of {day} for platform"
        clock = "title has the day of the clock; take that of the run."
        expect(str(date.today()) not in str(got), clock)
        stale = "for platform" not in str(got)
        fresh = "; run the DAG's cell again, a run_conf stays" if stale else ""
        expect(got == wanted, f"In the run of {day} title returned {got!r}, not {wanted!r}{fresh}.")
    got = title(DAYS[0], run_conf={"team": "data"})
    wrong = f"With run_conf={{'team': 'data'}} title returned {got!r}."
    expect(got == f"Report of {DAYS[0]} for data", wrong)
    try:
        title(DAYS[0], run_conf={"team": 3})
    except Wrong:
        raise
    except Exception:
        return  # Airflow refused it
    raise Wrong("A team that is the number 3 was not refused: say the type of the parameter.")


@contextmanager
def _values_put_back(dag: Any) -> Iterator[None]:
    """Put back the values of a DAG's parameters: tasks write those of a run into them."""
    owners = (dag, *dag.tasks)
    params = [owner.params.get_param(name) for owner in owners for name in owner.params]
    before = [param.value for param in params]
    try:
        yield
    finally:
        for param, value in zip(params, before, strict=True):
            param.value = value


def catches(answer: Any) -> None:
    """Expect a test that the right DAG passes, and that each fault makes fail."""
    import pytest

    expect(callable(answer), "Hand over a function: def test_invoice(invoice): …")
    # A call by hand passes over what pytest would not run, or not count as failed.
    marks = {mark.name for mark in getattr(answer, "pytestmark", [])}
    for mark in sorted(marks & {"skip", "skipif", "xfail"}):
        raise Wrong(f"Your test has the mark {mark}, with which it may not fail: take it off.")
    with trying("The DAG is right, and your test does not pass. "), visit("talk"):
        answer(invoice())
    faults = {
        "send failed": invoice(send="fail"),
        "send was skipped": invoice(send="skip"),
        "total left out a price": invoice(left_out=1),
    }
    skips = (pytest.skip.Exception, pytest.xfail.Exception, pytest.exit.Exception, SkipTest)
    for what, dag in faults.items():
        try:
            with visit("talk"):
                answer(dag)
        except KeyboardInterrupt:
            raise
        except skips:
            raise Wrong(f"Your test does not fail, it is skipped, though {what}.") from None
        except BaseException:
            continue
        raise Wrong(f"Your test passes, though {what}.")


def invoice(send: str = "", left_out: int = 0) -> Any:
    """Return the DAG of the exercise, or one with a fault.

    Args:
        send: "fail" or "skip", if the last task does.
        left_out: how many prices are missing in the sum.
    """
    from airflow.sdk import DAG, task
    from airflow.sdk.exceptions import AirflowSkipException

    with DAG("invoice") as dag:

        @task
        def prices() -> list[int]:
            return [3, 4, 5]

        @task
        def total(amounts: list[int]) -> int:
            return sum(amounts[left_out:])

        @task(task_id="send")
        def say(amount: int) -> None:
            if send == "skip":
                raise AirflowSkipException("nobody reads it")
            if send == "fail":
                raise ConnectionError("nobody takes it")
            print(amount, "dollars")

        say(total(prices()))
    return dag
