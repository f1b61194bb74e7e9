"""The exercises of the notebook 13_when_things_break."""

from typing import Any

from workshop.exercises.judging import expect, plain

FAULTS: dict[str, dict[str, Any]] = {
    "there is no gcloud": {"gcloud": "missing"},
    "Spanner is denied": {"spanner": "denied"},
    "Slack answers 500": {"slack": 500},
    "nobody listens at Slack": {"slack": "refused"},
    "the mail server is down": {"mail": "down"},
}


def red(answer: Any) -> None:
    """Expect the colours that runs of the DAG of 2018 under these faults now give."""
    from workshop.cluster.trials import DAGS, run_one

    wrong = f"Answer with a dict that says red or green for each of: {', '.join(FAULTS)}."
    expect(isinstance(answer, dict) and set(answer) == set(FAULTS), wrong)
    for colour in map(plain, answer.values()):
        expect(colour in ("red", "green"), f"'{colour}' is neither red nor green.")
    count = 0
    for what, switches in FAULTS.items():
        run = run_one(what, DAGS["2018"], "talk", switches)["run"]
        count += plain(answer[what]) != ("green" if run == "success" else "red")
    wrong = f"{count} of {len(FAULTS)} are not what a run just gave. Go on, and see which."
    expect(not count, wrong)
