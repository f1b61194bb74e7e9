"""The exercises of the notebook 05_email."""

from typing import Any

from workshop.exercises.judging import Ran, expect


def day(dag: Any) -> None:
    """Expect the day of the run in the mail's subject, whatever day it is."""
    import pendulum

    for date in ("2026-01-02", "2026-03-04"):
        ran = Ran(dag, "talk", logical_date=pendulum.parse(date)).expect_success()
        expect(ran.mails, "No mail arrived: the operator must still send it.")
        said = ran.mails[-1].subject
        wrong = f"The run of {date} sent a mail with the subject '{said}'; use a template."
        expect(date in said, wrong)
        wrong = "The mail has lost its text: only the subject should change."
        expect("orders-db" in ran.mails[-1].html, wrong)


def returns(dag: Any) -> None:
    """Expect the text as the function's return value and in the mail."""
    ran = Ran(dag, "talk").expect_success()
    keys = [key for task, key in ran.xcoms if task == "prepare_email_task"]
    wrong = "prepare_email_task still pushes an XCom with the key email: return the text."
    expect("email" not in keys, wrong)
    wrong = "prepare_email_task leaves nothing behind: the function must return its text."
    expect(keys == ["return_value"], wrong)
    wrong = "The mail arrived without its text: which key does the template ask for?"
    expect(ran.mails and "orders-db" in ran.mails[-1].html, wrong)
