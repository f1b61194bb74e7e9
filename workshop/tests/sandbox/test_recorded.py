"""The stand-in for gcloud against what the real one printed, recorded once with its version."""

from typing import Any

import pytest

from workshop.sandbox.gcloud.program import VERSION
from workshop.tests.sandbox import recorded
from workshop.tests.sandbox.real_gcloud import Printed

CONTENT = recorded.read()
LINES = [
    pytest.param(group, line, said, id=f"{group}: {line}")
    for group in CONTENT["groups"]
    for line, said in recorded.answers(CONTENT, group)
]


@pytest.mark.parametrize(("group", "line", "said"), LINES)
def test_the_stand_in_prints_what_the_real_one_printed(
    printed: Any, group: str, line: str, said: Printed
) -> None:
    assert printed(recorded.world(CONTENT, group), line) == said


def test_the_version_is_that_of_the_recorded_one(printed: Any) -> None:
    assert CONTENT["version"] == VERSION
    out, err, status = printed("services: {}", "--version")
    assert (out.splitlines()[0], err, status) == (VERSION, "", 0)
