"""Both DAGs under the same faults: what each tells people, and what each says of itself."""

import json
import re
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from workshop import sandbox, show
from workshop.cluster import trials
from workshop.cluster.keeper import alive
from workshop.ground import Problem
from workshop.lab import TaskLogs, load
from workshop.lab.session import current

UNREAD = "true, and says that it could not read"
ALL = "Cloud SQL, Spanner, BigTable, Compute Engine"
NO_CREDENTIALS = dict.fromkeys(("sql", "spanner", "bigtable", "compute"), "no_credentials")
LISTS = f"list_instances[{', '.join(NO_CREDENTIALS)}]"
WORDS = re.compile(r"\d+ false names, (\d+ instances?) left out")
NOT_TOLD = ("success", "none", "1 instance left out", "1 instance left out")
CASES: list[tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]] = [
    ({}, ("success", "none", "true", "true"), ("success", "none", "true", "true")),
    (
        {"gcloud": "missing"},
        ("success", "none", "10 instances", "10 instances"),
        ("failed", LISTS, f"{UNREAD} {ALL}", f"{UNREAD} {ALL}"),
    ),
    (
        {"spanner": "denied"},
        ("success", "none", "2 instances", "2 instances"),
        ("failed", "list_instances[spanner]", f"{UNREAD} Spanner", f"{UNREAD} Spanner"),
    ),
    (
        {"compute": "denied"},
        ("success", "none", *["4 instances left out"] * 2),
        ("failed", "list_instances[compute]", *[f"{UNREAD} Compute Engine"] * 2),
    ),
    (
        {"compute": "partial"},
        ("success", "none", *["1 instance left out"] * 2),
        ("failed", "list_instances[compute] after 3 tries", *[f"{UNREAD} Compute Engine"] * 2),
    ),
    *(
        (
            {service: "silent"},
            ("success", "none", f"1 false name, {lost} left out", f"{lost} left out"),
            ("failed", f"list_instances[{service}] after 3 tries", *[f"{UNREAD} {title}"] * 2),
        )
        for service, title, lost in (
            ("sql", "Cloud SQL", "3 instances"),
            ("spanner", "Spanner", "2 instances"),
            ("bigtable", "BigTable", "1 instance"),
            ("compute", "Compute Engine", "4 instances"),
        )
    ),
    (
        {"spanner": "partial"},
        ("success", "none", *["1 instance left out"] * 2),
        ("failed", "list_instances[spanner] after 3 tries", *[f"{UNREAD} Spanner"] * 2),
    ),
    # Of these gcloud says nothing: only the API knows what is missing.
    *(({service: "partial"}, NOT_TOLD, NOT_TOLD) for service in ("sql", "bigtable")),
    (
        {"sql": "malformed"},
        ("success", "none", "true", "true"),
        ("success", "none", "true", "true"),
    ),
    (
        {"world": "crowd"},
        ("success", "none", "true", "true"),
        ("success", "none", "true, the rest counted", "true"),
    ),
    (
        NO_CREDENTIALS,
        ("success", "none", "10 instances", "10 instances"),
        ("failed", LISTS, f"{UNREAD} {ALL}", f"{UNREAD} {ALL}"),
    ),
    (
        {"slack": 403},
        ("success", "none", "none", "true"),
        ("failed", "send_slack", "none", "true + a notice"),
    ),
    (
        {"slack": 429},
        ("success", "none", "none", "true"),
        ("success", "none", "true", "true"),
    ),
    (
        {"slack": "refused"},
        ("failed", "send_slack_msg_task after 2 tries", "none", "true"),
        ("failed", "send_slack after 3 tries", "none", "true + a notice"),
    ),
    (
        {"slack": "silent"},
        ("success", "none", "2: true; true", "true"),
        ("success", "none", "2: true; true, and says that it is sent again", "true"),
    ),
    (
        {"mail": "refused"},
        ("failed", "send_email after 2 tries", "true", "none"),
        ("failed", "send_mail", "true + a notice", "none"),
    ),
    (
        {"mail": "one_refused"},
        ("success", "none", "true", "true; none to 1 of 2"),
        ("failed", "send_mail", "true + a notice", "true; none to 1 of 2"),
    ),
    (
        {"sql": "hanging"},
        ("success", "none", "true", "true"),
        ("failed", "list_instances[sql] after 3 tries", *[f"{UNREAD} Cloud SQL"] * 2),
    ),
    (
        {"sql": "killed"},
        ("success", "none", "1 false name, 3 instances left out", "3 instances left out"),
        ("failed", "list_instances[sql] after 3 tries", *[f"{UNREAD} Cloud SQL"] * 2),
    ),
    (
        {"mail": "slow"},
        ("success", "none", "true", "2: true; true"),
        ("success", "none", "true", "2: true; true, and says that it is sent again"),
    ),
]


# These run in every check; the others once a week.
DAILY: tuple[dict[str, Any], ...] = (
    {},
    {"spanner": "denied"},
)


@pytest.mark.parametrize(
    ("switches", "then", "today"),
    [
        pytest.param(
            *case,
            id=" ".join(f"{key}={value}" for key, value in case[0].items()) or "-",
            marks=() if case[0] in DAILY else pytest.mark.weekly,
        )
        for case in CASES
    ],
)
def test_what_both_do(
    lab: Any, switches: dict[str, Any], then: tuple[str, ...], today: tuple[str, ...]
) -> None:
    got = trials.trial("a fault", **switches).to_dict("index")
    in_2018 = [WORDS.sub(r"\1", text) for text in got["2018"].values()]
    assert tuple(in_2018) == then
    assert tuple(got["today"].values()) == today
    assert "a fault" in trials.table().index


@pytest.mark.weekly
def test_odd_names(lab: Any) -> None:
    got = trials.trial("odd", world="odd")
    assert got.loc["2018", "Slack"].startswith("calls everybody in the channel")
    assert got.loc["2018", "mail"].startswith("runs what a name says")
    assert (got.loc["today", "Slack"], got.loc["today", "mail"]) == ("true", "true")


@pytest.mark.weekly
@pytest.mark.parametrize("world", sorted(path.stem for path in sandbox.WORLDS.glob("*.yaml")))
def test_today_tells_the_truth_in_every_world(lab: Any, world: str) -> None:
    got = trials.trial(world, world=world).loc["today"]
    assert got["Slack"].startswith("true") and got["mail"].startswith("true")
    assert got["run"] == ("failed" if world == "denied" else "success")


@pytest.fixture
def box(lab: Any) -> Iterator[sandbox.Sandbox]:
    with sandbox.visit("talk") as box:
        yield box


def run_today(**switches: Any) -> Any:
    sandbox.set_faults(switches)
    return load("gcp_spy_today").test()


def test_the_message_names_what_the_talk_s_names(box: sandbox.Sandbox) -> None:
    def names() -> list[str]:
        return re.findall("`.*?`", sandbox.slack_message().text)

    load("gcp_spy").test()
    talk_s = names()
    load("gcp_spy_today").test()
    assert names() == talk_s and len(talk_s) == 10


def test_the_reason_is_named_and_no_secret_is(box: sandbox.Sandbox) -> None:
    run = run_today(spanner="denied", slack=500)
    secret = box.slack.webhook.rsplit("/", 1)[1]
    logged = json.dumps([str(lines) for lines in current()[TaskLogs].of_run(run).values()])
    assert secret not in logged
    assert "does not have permission" in box.mail.mails[0].text
    assert secret not in box.mail.mails[0].html + json.dumps(box.slack.messages[0].payload)
    rows = show.tasks(run).set_index(["task", "map_index"])
    assert rows.loc[("list_instances", 1), "tries"] == 1, "a refusal is not tried again"


@pytest.mark.weekly
def test_mails_of_one_run_have_one_id(box: sandbox.Sandbox) -> None:
    run_today(mail="slow")
    ids = {mail.message_id for mail in box.mail.mails}
    assert len(box.mail.mails) == 2 and len(ids) == 1 and ids != {""}


@pytest.mark.weekly
def test_the_cost_is_an_estimate_on_demand(lab: Any) -> None:
    dag = load("gcp_spy_today")
    sandbox.enter("talk")
    run = dag.test(run_conf={"estimate_cost": True})
    values = show.xcoms(run).set_index("task")["value"]
    costs = values["estimate_cost"]
    assert costs["Spanner"] == 4 * 657.0 and costs["BigTable"] == 0 and costs["Compute Engine"] > 0
    sandbox.set_faults({"spanner": "denied"})
    run = dag.test(run_conf={"estimate_cost": True})
    assert show.xcoms(run).set_index("task")["value"]["estimate_cost"]["Spanner"] is None


def test_the_worker_that_lists_a_service_is_found_and_ends(box: sandbox.Sandbox) -> None:
    sandbox.set_faults({"compute": "slow"})
    code = "while :; do gcloud compute instances list > /dev/null; done"
    code = f"bash -c '{code}' & bash -c 'sleep 3600' & wait"
    scheduler = subprocess.Popen(["bash", "-c", code])
    cluster: Any = SimpleNamespace(
        processes={"scheduler": scheduler}, ensure_running=lambda name: None
    )
    try:
        worker = trials.worker_of(cluster, "compute")
        assert worker.ppid() == scheduler.pid and "gcloud" in worker.cmdline()[-1]
        trials.kill_worker(cluster, "compute")
        psutil.wait_procs([worker], 600)
        assert not alive(worker) and scheduler.poll() is None
    finally:
        for process in [*psutil.Process(scheduler.pid).children(recursive=True), scheduler]:
            process.kill()
        scheduler.wait()


def test_no_such_file(lab: Any) -> None:
    with pytest.raises(Problem, match=r"no DAG file 'nothing', only gcp_spy, gcp_spy_today"):
        load("nothing")
