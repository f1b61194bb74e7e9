"""The exercises of the notebook 07_complex_dags."""

from typing import Any

from workshop.exercises.judging import Ran, expect, expect_dag


def expand(dag: Any) -> None:
    """Expect a mapped task with an instance for each city that another task returned."""
    expect_dag(dag, 'check("expand", towns)', "cities", "length", "total")
    _expect_mapped(dag)
    wrong = "The names stand in the DAG file: hand over what cities returns."
    expect("cities" in dag.task_dict["length"].get_flat_relative_ids(upstream=True), wrong)
    cities = dag.task_dict["cities"]
    expect(hasattr(cities, "python_callable"), "cities must still be a function.")
    function, cities.python_callable = cities.python_callable, lambda: ["Lublin", "Hel"]
    try:
        _expect_mapped(dag)
    finally:
        cities.python_callable = function


def _expect_mapped(dag: Any) -> None:
    ran = Ran(dag, "talk").expect_success()
    lengths = ran.tasks[ran.tasks["task"] == "length"]
    wrong = "length is not mapped: its instances should come from expand."
    expect("map_index" in lengths and (lengths["map_index"] >= 0).all(), wrong)
    cities, total = ran.kept("cities"), ran.kept("total")
    wrong = f"length has {len(lengths)} instances, and cities returned {len(cities)} names."
    expect(len(lengths) == len(cities), wrong)
    wrong = f"total returned {total} for {', '.join(cities)}: it does not get all the lengths."
    expect(total == sum(map(len, cities)), wrong)
