"""The exercises of the notebook 04_slack."""

import re
from typing import Any

from workshop.exercises.judging import SERVICES, Ran, expect
from workshop.lab import Home, current

OTHER_PROJECT = """\
project: nightly-build
services: {sql: [{name: orders-db}], spanner: [], bigtable: [], compute: [{name: web-1}]}
"""


def count(dag: Any) -> None:
    """Expect the number of instances in each title of the message."""
    for world in ("talk", "quiet"):
        ran, place = Ran(dag, world).expect_success(), f"in the world '{world}'"
        attachments = ran.messages[-1].payload.get("attachments", []) if ran.messages else []
        fields = [one for attachment in attachments for one in attachment.get("fields", [])]
        wrong = f"The message has {len(fields)} fields {place}, not one a service."
        expect(len(fields) == len(SERVICES), wrong)
        for one in fields:
            title, number = one.get("title"), str(one.get("value")).count("`") // 2
            wrong = f"I{place[1:]} a title reads '{title}', and its service has {number} instances."
            expect(str(number) in re.findall(r"\d+", str(title)), wrong)


def project(dag: Any) -> None:
    """Expect the project in the message, also where it is called otherwise."""
    ran = Ran(dag, "talk").expect_success()
    expect(ran.messages, "No message arrived: the function must still post it.")
    wrong = "The message does not name the project spy-demo; gcloud config get-value project does."
    expect("spy-demo" in ran.messages[-1].text, wrong)
    path = current()[Home].folder / "other-project.yaml"
    path.write_text(OTHER_PROJECT, encoding="utf-8")
    wrong = (
        "In a project called nightly-build the message still does not say so: ask gcloud "
        "when the task runs, not when the file is read."
    )
    expect("nightly-build" in Ran(dag, str(path)).messages[-1].text, wrong)
