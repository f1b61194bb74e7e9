"""What a headless run leaves for its test."""

import json
from pathlib import Path
from typing import Any

from workshop import sandbox
from workshop.authoring.checking import results
from workshop.lab.dagcell import write

MAPPED = """\
from airflow.sdk import DAG, task

with DAG("mapped") as mapped:

    @task
    def half(x):
        return 10 / x

    @task
    def pair():
        return 1, "a"

    half.expand(x=[1, 0, 2]), pair()
"""


def test_a_mapped_task_has_its_worst_state_and_values_are_as_stored(
    lab: Any, tmp_path: Path
) -> None:
    sandbox.enter("talk")
    names: dict[str, Any] = {}
    write("mapped", MAPPED, names)
    names["mapped"].test()
    results.add(tmp_path / "results.json")
    (left,) = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert (left["state"], left["tasks"]) == ("failed", {"half": "failed", "pair": "success"})
    assert [(xcom["task_id"], xcom["value"]) for xcom in left["xcoms"]] == [
        ("half", 10.0),
        ("half", 5.0),
        ("pair", {"__classname__": "builtins.tuple", "__version__": 1, "__data__": [1, "a"]}),
    ]
