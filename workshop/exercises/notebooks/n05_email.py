"""The exercises of the notebook 05_email."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from workshop.exercises.judging import Ran, expect


def day(dag: Any) -> None:
    """Expect the day of the run, and no time, in the mail's subject, whatever day it is."""
    import pendulum

    for date in ("2026-01-02", "2026-03-04"):
        ran = Ran(dag, "talk", logical_date=pendulum.parse(f"{date}T16:00")).expect_success()
        expect(ran.mails, "No mail arrived: the operator must still send it.")
        said = ran.mails[-1].subject
        wrong = (
            f"The run of {date} sent a mail with the subject '{said}', without {date}: write the "
            "run's day so, with a template."
        )
        expect(date in said, wrong)
        wrong = f"The subject '{said}' has more than the day {date}: which variable has it alone?"
        expect(re.search(rf"\b{date}\b", said) and not re.search(r"\d:\d\d", said), wrong)
        wrong = "The mail has lost its text: only the subject should change."
        expect("orders-db" in ran.mails[-1].html, wrong)


def returns(dag: Any) -> None:
    """Expect the text as the function's return value and in the mail, and nothing pushed."""
    expect("prepare_email_task" in dag.task_dict, "The task prepare_email_task is gone.")
    prepares = dag.task_dict["prepare_email_task"]
    expect(hasattr(prepares, "python_callable"), "prepare_email_task must still call its function.")
    for world, name in (("talk", "reporting-pg"), ("busy", "worker-500")):
        with _watched(prepares) as pushed_alone:
            ran = Ran(dag, world).expect_success()
        keys = {key for task, key in ran.xcoms if task == "prepare_email_task"}
        others = sorted(keys - {"return_value"})
        wrong = (
            f"prepare_email_task still pushes an XCom with the key {', '.join(others)}: return it."
        )
        expect(not others, wrong)
        wrong = "prepare_email_task leaves nothing behind: the function must return its text."
        expect(keys, wrong)
        wrong = "The function pushes an XCom with the key return_value: let it return the text."
        expect(not any(pushed_alone), wrong)
        wrong = "The mail arrived without its text: which key does the template ask for?"
        expect(ran.mails and name in ran.mails[-1].html, wrong)


@contextmanager
def _watched(task: Any) -> Iterator[list[Any]]:
    """Yield what a task's function has pushed as `return_value` when it returns."""
    from airflow.sdk import get_current_context

    function, pushed = task.python_callable, []

    @wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        returned = function(*args, **kwargs)
        pushed.append(get_current_context()["ti"].xcom_pull(task_ids=task.task_id))
        return returned

    task.python_callable = watched
    try:
        yield pushed
    finally:
        task.python_callable = function
