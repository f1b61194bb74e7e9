"""The exercises of the notebook 04_slack."""

import re
from typing import Any

from workshop.exercises.judging import SERVICES, Ran, expect
from workshop.lab import Home, current
from workshop.sandbox import WORLDS, gcloud
from workshop.sandbox.gcloud import read_world

OTHER_PROJECT = """\
project: nightly-build
services: {sql: [{name: orders-db}], spanner: [], bigtable: [], compute: [{name: web-1}]}
"""


def count(dag: Any) -> None:
    """Expect the number of instances behind each title of the message."""
    for world in ("talk", "quiet"):
        ran, place = Ran(dag, world).expect_success(), f"in the world '{world}'"
        attachments = ran.messages[-1].payload.get("attachments", []) if ran.messages else []
        fields = [one for attachment in attachments for one in attachment.get("fields", [])]
        wrong = f"The message has {len(fields)} fields {place}, not one a service."
        expect(len(fields) == len(SERVICES), wrong)
        listed = read_world(WORLDS / f"{world}.yaml")["services"]
        for service in SERVICES:
            title, names = gcloud.SERVICES[service].title, [it["name"] for it in listed[service]]
            found = [one for one in fields if title in str(one.get("title"))]
            expect(len(found) == 1, f"{len(found)} titles name {title} {place}, and one should.")
            said = str(found[0]["title"])
            wrong = (
                f"I{place[1:]} a title reads '{said}', and its service has {len(names)} instances: "
                f"write '{title} ({len(names)})'."
            )
            expect(re.fullmatch(rf"{title}\D*(?<!\d){len(names)}\D*", said.strip("* ")), wrong)
            lost = [name for name in names if name not in str(found[0].get("value"))]
            expect(not lost, f"The message has lost {', '.join(lost)}: only titles should change.")


def project(dag: Any) -> None:
    """Expect the project in the message, also where it is called otherwise."""
    message = _message(Ran(dag, "talk"))
    wrong = "The message does not name the project spy-demo; gcloud config get-value project does."
    expect("spy-demo" in message, wrong)
    path = current()[Home].folder / "other-project.yaml"
    path.write_text(OTHER_PROJECT, encoding="utf-8")
    wrong = (
        "In a project called nightly-build the message still does not say so: ask gcloud "
        "when the task runs, not when the file is read."
    )
    message = _message(Ran(dag, str(path)))
    expect("nightly-build" in message, wrong)
    expect("spy-demo" not in message, "It names the project spy-demo too, which is another one.")


def _message(ran: Ran) -> str:
    """Return what people read in the one message of a run."""
    ran.expect_success()
    expect(ran.messages, "No message arrived: the function must still post it.")
    expect(len(ran.messages) == 1, f"{len(ran.messages)} messages arrived, and one should.")
    message = str(ran.messages[0].text)
    expect("orders-db" in message, "The message has lost its instances.")
    return message
