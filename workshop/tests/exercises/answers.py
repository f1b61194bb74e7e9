"""Answers to each exercise, right ones and wrong ones of unlike kinds: the table of the judges.

An answer is what a learner would hand over: the parts of `%%exercise` cells, the text of a `%%dag`
cell, or an object. Each wrong one has a piece of the sentence that says why. The first wrong one
of a judge that looks at several worlds is one that the first world does not show.
"""

from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import SkipTest

import pytest

from workshop import show
from workshop.ground.cells import read_attempts, read_steps

STUBS = read_attempts("exercise")
SOLUTIONS = read_attempts("solution")


class Answers(NamedTuple):
    """What an exercise was tried with."""

    right: list[Any]
    wrong: list[tuple[Any, str]]


def changed(name: str, old: str, new: str, part: str = "") -> dict[str, str]:
    """Return the parts of an exercise's solution with a piece of text in its place."""
    return _with(SOLUTIONS[name], old, new, part)


def stub(name: str, old: str, new: str, part: str = "") -> dict[str, str]:
    """Return the parts of an exercise as set, with a piece of text in its place."""
    return _with(STUBS[name], old, new, part)


def _with(parts: dict[str, str], old: str, new: str, part: str) -> dict[str, str]:
    part = part or next(iter(parts))
    assert old in parts[part]
    return parts | {part: parts[part].replace(old, new)}


def step(part: str, slide: int) -> str:
    """Return a part of the file as the talk has it after a slide."""
    return [it.source for it in read_steps() if it.part == part and it.slide <= slide][-1]


def cleaning(tidy: str, work: str = 'bash_command="exit 1"', arrow: str = "work >> tidy") -> str:
    """Return the DAG of the exercise tidy with other arguments, or another arrow."""
    return f"""\
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, task

with DAG("cleaning") as cleaning:
    work = BashOperator(task_id="work", {work})
    tidy = BashOperator(task_id="tidy", bash_command="echo tidy"{tidy})
    {arrow}
"""


RULE = ', trigger_rule="{}"'.format


def diary(body: str) -> str:
    """Return the DAG of the exercise once, whose task ends with other lines."""
    return f"""\
import datetime
import os
import sqlite3
from pathlib import Path

from airflow.sdk import DAG, task


@task
def note(ds=None):
    folder = Path(os.environ["AIRFLOW_HOME"]) / "diary"
    folder.mkdir(exist_ok=True)
    file = folder / "diary.txt"
    file.touch()
    lines = file.read_text().splitlines()
    {body}


with DAG("diary") as diary:
    note()
"""


APPEND = 'file.open("a").write(f"{ds}\\n")'


def towns(body: str) -> str:
    """Return the DAG of the exercise expand, made in another way."""
    return f"""\
from airflow.sdk import DAG, task


@task
def cities():
    return ["Gdansk", "Krakow", "Warszawa"]


@task
def length(city):
    return len(city)


@task
def total(lengths):
    return sum(lengths)


with DAG("towns") as towns:
    {body}
"""


def digest(team: str, title: str) -> str:
    """Return the DAG of the exercise testable, with another parameter and another title."""
    return f"""\
from datetime import date, timedelta

from airflow.sdk import DAG, Param, task

with DAG("digest", params={{"team": {team}}}) as digest:

    @task
    def title(ds=None, params=None):
        return {title}

    title()
"""


def inventory(title: str) -> str:
    """Return the DAG of the exercise dateless, with another title."""
    return f"""\
from datetime import date

from airflow.sdk import DAG, task

with DAG("inventory") as inventory:

    @task
    def title(ds=None, dag_run=None):
        return {title}

    title()
"""


A_TEXT = 'Param("platform", type="string")'
OF_BOTH = "f\"Report of {ds} for {params['team']}\""


def looks(*seen: Callable[[Any, Any], bool]) -> Callable[[Any], None]:
    """Return a test of the DAG invoice that asserts something of its run."""

    def test_invoice(invoice: Any) -> None:
        run = invoice.test()
        assert all(look(run, show.xcoms(run)) for look in seen)

    return test_invoice


def is_green(run: Any, xcoms: Any) -> bool:
    return bool(run.state == "success")


def all_succeeded(run: Any, xcoms: Any) -> bool:
    return set(show.tasks(run)["state"]) == {"success"}


def kept_12(run: Any, xcoms: Any) -> bool:
    return 12 in list(xcoms["value"])


def looks_by_airflow_alone(invoice: Any) -> None:
    run = invoice.test()
    found = {ti.task_id: (ti.state, ti.xcom_pull(ti.task_id)) for ti in run.get_task_instances()}
    assert found["total"] == ("success", 12)
    assert found["send"][0] == "success"


def skips_by(skip: Callable[[str], Any]) -> Callable[[Any], None]:
    """Return a test of the DAG invoice that ends in this way where something is wrong."""

    def test_invoice(invoice: Any) -> None:
        if not all_succeeded(invoice.test(), None) and (raised := skip("no")):
            raise raised

    return test_invoice


def ends_by_pytest(invoice: Any) -> None:
    run = invoice.test()
    if not (all_succeeded(run, None) and kept_12(run, show.xcoms(run))):
        pytest.fail("something is wrong")


def called(name: str) -> str:
    """Return the statement of a task of gcp_spy that is a command in place of what it was."""
    part = "send_email_task" if name == "send_email" else "prepare_email_task"
    return f'{part} = BashOperator(task_id="{name}", bash_command="echo", dag=dag)\n'


def waits(command: str, more: str = "timeout=30, poke_interval=5") -> dict[str, str]:
    """Return the parts of the exercise sensor with another command and other arguments."""
    return {
        "dependencies": f"""\
from airflow.providers.standard.sensors.bash import BashSensor

waits = BashSensor(task_id="waits", bash_command={command!r}, {more}, dag=dag)
waits >> dag.get_task("gcp_service_list_instances_compute")
prepare_email_task >> send_email_task
"""
    }


COMPUTE = "gcp_service_list_instances_compute"
RUNS = "gcloud compute instances list | grep -q '^web-1 .* RUNNING$'"
BY_PYTHON = """\
import json

from airflow.providers.standard.sensors.python import PythonSensor


def web_1_runs(ds, **context):
    found = os.popen("gcloud compute instances list --format=json").read()
    return any(it["name"] == "web-1" and it["status"] == "RUNNING" for it in json.loads(found))


waits = PythonSensor(
    task_id="waits", python_callable=web_1_runs, timeout=30, poke_interval=1, dag=dag
)
waits >> dag.get_task("gcp_service_list_instances_compute")
prepare_email_task >> send_email_task
"""
SHAPED = "    data = slack_data(results)\n"
ASK = 'os.popen("gcloud config get-value project").read()'
POST = step("send_slack_msg", 37)
SILENT = "def send_slack_msg(**context):\n    return 1\n"
# Where a message has blocks, its text is for notifications alone.
BESIDE = f"    data['text'] = {ASK}\n"
BESIDE += "    data['blocks'] = [{'type': 'markdown', 'text': 'orders-db'}]\n"
RETURNS = SOLUTIONS["returns"]
PULL = "task_instance.xcom_pull(task_ids='prepare_email_task')"
MAIL = "".join(f"{name}<br>" for name in ("orders-db", "reporting-pg"))
LISTS = {
    f"gcp_service_list_instances_{service}": "success"
    for service in ("sql", "spanner", "bigtable", "compute")
}
PREDICTED = {
    **LISTS, "gcp_service_list_instances_spanner": "failed",
    **dict.fromkeys(("send_slack_msg_task", "prepare_email_task", "send_email"), "upstream_failed"),
}  # fmt: skip
RED = {
    **dict.fromkeys(("there is no gcloud", "Spanner is denied", "Slack answers 500"), "green"),
    **dict.fromkeys(("nobody listens at Slack", "the mail server is down"), "red"),
}
TYPES = {"S3KeySensor": "sensor", "RedshiftToS3Operator": "transfer", "EmailOperator": "action"}
MISSING = {
    "a changed DAG file is not seen": "dag-processor",
    "nothing new starts": "scheduler",
    "tasks fail": "api-server",
}
TELLS = {
    "next_ds": "ruff",
    "execution_date": "test",
    "create_session": "worker",
    "a date one day later": "nobody",
}
STEPS = {
    "denied, and green": 2,
    "red, and nobody is told": 4,
    "the webhook is in the log": 5,
    "no permission, asked three times": 6,
}
WHICH = {"nights": "local", "seconds": "celery", "months": "kubernetes"}
QUEUES: dict[str, Any] = {"none": {"a", "b"}, "gpu": {"b"}, "tpu": set()}


def upside_down(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a dict in another order, its texts in capital letters and with a full stop."""
    return {
        key: f"{value.upper()}." if isinstance(value, str) else value
        for key, value in reversed(answer.items())
    }


def schedule(text: str) -> dict[str, str]:
    """Return the parts of the exercise weekdays with another schedule."""
    return stub("weekdays", '"0 16 * * *"', text)


def timetable(kind: str, arguments: str) -> dict[str, str]:
    """Return the parts of the exercise weekdays with one of Airflow's timetables."""
    part = schedule(f"{kind}({arguments})")["dag"]
    return {"dag": f"from airflow.sdk import {kind}\n\n{part}"}


TABLE = {
    "tidy": Answers(
        [
            cleaning(RULE("all_done")),
            cleaning("", arrow="work >> tidy.as_teardown()"),
            cleaning(RULE("all_done_setup_success")),
            cleaning(RULE("all_done"), arrow="work >> BashOperator(task_id='look', "
                     "bash_command='echo', trigger_rule='all_done') >> tidy"),
        ],
        [
            (cleaning(RULE("one_failed")), "Where work is success, tidy is skipped"),
            (cleaning(RULE("none_skipped")), "Where work is skipped, tidy is skipped"),
            (cleaning(""), "Where work is failed, tidy is upstream_failed"),
            (cleaning(RULE("all_failed")), "Where work is success"),
            (cleaning(RULE("always")), "does not wait"),
            (cleaning(RULE("all_done"), 'bash_command="exit 0"'), "it must still fail"),
            (cleaning(RULE("all_done"), arrow=""), "no longer waits for work"),
            (cleaning("").replace('"tidy"', '"clean"'), "has no task tidy"),
            (cleaning("").replace('"work"', '"toil"'), "has no task work"),
            (cleaning(RULE("all_done")).replace("echo tidy", "rm /nowhere"),
             "Where work is failed, tidy failed: rm: "),
        ],
    ),
    "three_nights": Answers(
        [(3, 3), [3, 3], [3.0, 3.0]],
        [
            ((1, 3), "each time it is started"),
            ((3, 1), "starts from its beginning"),
            ((0, 3), "each time it is started"),
            (3, "a pair"),
            ((3, 3, 3), "a pair"),
            ("3, 3", "a pair"),
            ([[3], [3]], "a pair of numbers"),
            (("3", "3"), "a pair of numbers"),
        ],
    ),
    "once": Answers(
        [
            diary('(folder / f"{ds}.txt").write_text(ds)'),
            diary(f"ds in lines or {APPEND}"),
            diary('file.write_text("\\n".join(sorted({*lines, ds})))'),
        ],
        [
            (diary(APPEND), "After 3 runs of 2018-12-01 the diary has 3 lines"),
            (diary(f"ds in lines[-1:] or {APPEND}"), "After 3 runs of 2018-12-01 the diary has 2"),
            (diary("file.write_text(ds)"), "After 1 runs of 2018-12-02 the diary has 0 lines"),
            (diary("lines or file.write_text(ds)"), "After 1 runs of 2018-12-02"),
            (diary("pass"), "has 0 lines"),
            (diary("file.write_text(str(datetime.date.today()))"), "has 0 lines"),
            (diary("raise ValueError('no')"), "failed: ValueError: no"),
            (diary('sqlite3.connect(folder / "days.db").execute("PRAGMA user_version = 255")\n'
                   '    (folder / "days.bin").write_bytes(b"\\xff\\xfe")'), "is no text"),
        ],
    ),
    "types": Answers(
        [TYPES, upside_down(TYPES), {key.lower(): f" {value} " for key, value in TYPES.items()}],
        [
            (["sensor"], "Answer with a dict"),
            (TYPES | {"EmailOperator": "transfer"}, "EmailOperator: not 'transfer'"),
            ({}, "S3KeySensor: not None"),
            (TYPES | {"S3KeySensor": ["sensor"]}, "S3KeySensor: not ['sensor']"),
            (TYPES | {"SlackOperator": "action"}, "Nobody asked for 'slackoperator'"),
            (dict.fromkeys(TYPES, "operator"), "S3KeySensor: not 'operator'"),
        ],
    ),
    "weekdays": Answers(
        [
            SOLUTIONS["weekdays"],
            schedule('"30 8 * * MON-FRI"'),
            schedule('"30 8 * * 1,2,3,4,5"'),
            stub("weekdays", 'tz="UTC"), "retries": 1},\n    schedule="0 16 * * *"',
                 'tz="UTC"), "retries": 1},\n    start_date=pendulum.datetime(2018, 12, 1, '
                 'tz="Europe/Warsaw"),\n    schedule="30 8 * * 1-5"'),
            timetable("CronTriggerTimetable", '"30 8 * * 1-5", timezone="Europe/Warsaw"'),
            timetable("MultipleCronTriggerTimetable",
                      '"30 8 * * 1-3", "30 8 * * 4,5", timezone="Europe/Warsaw"'),
            timetable("CronDataIntervalTimetable", '"30 8 * * 1-5", timezone="Asia/Kolkata"'),
        ],
        [
            (schedule('"30 8 * * *"'), "also runs on a Saturday"),
            (schedule('"0 8 * * 1-5"'), "08:00 (UTC), and it should at 08:30; the first field is"),
            (schedule('"30 16 * * 1-5"'), "16:30 (UTC), and it should at 08:30; the second field"),
            (schedule('"30 8 * * 1-4"'), "look at Friday"),
            (schedule('"0,30 8 * * 1-5"'), "It runs at 08:00"),
            (schedule("None"),
             "This DAG has no schedule: it never runs by itself. Write schedule=…"),
            (schedule('"30 8 * * 1,3-5"'),
             "It does not run once on every weekday: look at Tuesday."),
            (schedule('"0 9 * * 1-5"'),
             "; the first field is the minute, the second field is the hour."),
            (timetable("MultipleCronTriggerTimetable", '"30 7 * * 1-5", timezone="Europe/Warsaw"'),
             "07:30 (Europe/Warsaw)"),
            (schedule('"@daily"'), "It also runs on a Saturday"),
            (schedule('"30 7 * * 1-5"'), "It runs at 07:30"),
            (schedule('"8 30 * * 1-5"'),
             "Airflow refuses this schedule: [8 30 * * 1-5] is not acceptable, out of range; the"),
        ],
    ),
    "empty_list": Answers(
        ["Listed 0 items. It comes from stderr.", "stderr: 'Listed 0 items.'",
         "listed 0 items, from the standard error",
         "Listed 0 items. It comes from stderr, not from stdout.",
         "Not from stdout but from stderr: Listed 0 items.",
         "Stdout is empty, stderr: listed 0 items",
         "'Listed 0 items.' isn't on stdout, it's stderr",
         "There is nothing: stderr says 'Listed 0 items.'",
         "The words of the empty list, listed 0 items, come from stderr; nothing is on stdout.",
         "stdout: nothing. stderr: Listed 0 items.",
         "Listed 0 items. When nothing is there gcloud writes that to stderr",
         "listed 0 items (stderr rather than stdout)"],
        [
            ("Listed 0 items.", "Name the one stream"),
            ("Listed 0 items. It comes from stdout.", "stdout is empty there"),
            ("Listed 0 items, from stdout or stderr", "Name the one stream"),
            ("Listed 0 items. It comes from stdout, not from stderr.", "stdout is empty there"),
            ("Listed 0 items. It does not come from stdout.", "Name the one stream"),
            ("nothing, from stderr",
             'Call start("quiet"), run the DAG, and copy what the task of Spanner kept.'),
            ("", "copy what the task"),
            ([], "yours is a list"),
            (("Listed 0 items.", "stderr"), "yours is a tuple"),
        ],
    ),
    "fifth": Answers(
        [
            SOLUTIONS["fifth"],
            changed("fifth", '"Filestore"', '"Files"'),
            stub("fifth", "]", ']\nGCP_SERVICES += [("filestore", "Filestore")]'),
        ],
        [
            (SOLUTIONS["fifth"] | {"list_instances": step("list_instances", 31).replace(
                '"gcloud {}', '"test {0} = filestore && echo shared-home || gcloud {0}')},
             "there is no Filestore"),
            (changed("fifth", '"filestore"', '"file"'), "for …': the word for the command"),
            (stub("fifth", '("compute", "Compute Engine")', '("filestore", "Filestore")'),
             "The task for compute is gone"),
            (stub("fifth", '"Cloud SQL"', '"SQL"'), "There are 0 new tasks"),
            (stub("fifth", "]", '    ("redis", "Redis"), ("filestore", "Filestore")]'),
             "There are 2 new tasks"),
            (stub("fifth", "]", '    "filestore",\n]'), "the word for the command is filestore"),
        ],
    ),
    "count": Answers(
        [
            SOLUTIONS["count"],
            changed("count", "{title} ({len(names)})", "{title}: {len(names)}"),
            changed("count", "({len(names)})", "({len(names)} instances)"),
            changed("count", "{title} ({len(names)})", "*{title} ({len(names)})*"),
        ],
        [
            (changed("count", "{len(names)}",
                     "{dict(zip(['Cloud SQL', 'Spanner', 'BigTable'], [3, 2, 1])).get(title, 4)}"),
             "In the world 'quiet' a title reads 'Cloud SQL (3)', and its service has 1"),
            (changed("count", "{title} ({len(names)})", "{len(names)} in {title}"),
             "write 'Cloud SQL (3)'"),
            (changed("count", "len(names)", "len(title)"), "its service has 3 instances"),
            (changed("count", "({len(names)})", "(3)"), "a title reads"),
            (changed("count", "({len(names)})", "({len(names)}3)"), "a title reads"),
            (changed("count", "{title} (", "("), "0 titles name Cloud SQL"),
            (changed("count", '"value": value', '"value": str(len(names))'), "has lost orders-db"),
            (changed("count", "{len(names)}", "{len(nams)}"), "failed: NameError"),
            ({"send_slack_msg": SILENT}, "0 fields in the world 'talk', not one a service"),
            ({"send_slack_msg": POST.replace(SHAPED, "    data = {'text': 'orders-db (3)'}\n")},
             "has 0 fields"),
            ({"send_slack_msg": POST.replace(
                SHAPED, "    data = {'attachments': [{'text': 'orders-db (3)'}]}\n")},
             "has 0 fields"),
        ],
    ),
    "project": Answers(
        [
            SOLUTIONS["project"],
            {"send_slack_msg": POST.replace(SHAPED, f"{SHAPED}    data['text'] = {ASK}.strip()\n")},
            stub("project", "    blue = {", f"    green['footer'] = {ASK}\n    blue = {{"),
        ],
        [
            (changed("project", 'f"Instances in {project}:"', '"Instances in spy-demo:"'),
             "still does not say so"),
            ({"title": f"import os\n\nINSTANCES_IN_PROJECT_TITLE = {ASK}"},
             "when the task runs, not when the file is read"),
            (changed("project", "config get-value project", "config get-value zone"),
             "does not name the project"),
            (changed("project", 'green["fallback"] = green["pretext"]', 'green["fallback"]'),
             "does not name the project"),
            ({"send_slack_msg": POST.replace(SHAPED, f"{SHAPED}{BESIDE}")},
             "does not name the project"),
            (changed("project", "[green, blue]", "[{'text': project}]"), "lost its instances"),
            ({"send_slack_msg": SILENT}, "No message arrived"),
            (changed("project", "Instances in {project}:", "Instances in {project}, not spy-demo:"),
             "It names the project spy-demo too"),
            ({"send_slack_msg": POST.replace(SHAPED, f"{SHAPED}    requests.post("
                                             f"SLACK_WEBHOOK, json={{'text': {ASK}}})\n")},
             "2 messages arrived"),
        ],
    ),
    "day": Answers(
        [
            SOLUTIONS["day"],
            changed("day", "{{ ds }}", "{{ logical_date.strftime('%Y-%m-%d') }}"),
            changed("day", 'INSTANCES_IN_PROJECT_TITLE + " {{ ds }}"', '"{{ ds }}: gcp"'),
        ],
        [
            (changed("day", "{{ ds }}", "2026-01-02"), "so, with a template"),
            (changed("day", "{{ ds }}", "{{ ts }}"), "more than the day"),
            (changed("day", "{{ ds }}", "{{ logical_date }}"), "more than the day"),
            (changed("day", "{{ ds }}", "{{ dag.dag_id }}"), "so, with a template"),
            (changed("day", "{{ ds }}", "{{ ds_nodash }}"), "so, with a template"),
            (changed("day", "{{ ds }}", "{{ macros.ds_add(ds, 1) }}"), "so, with a template"),
            (changed("day", "{{ ds }}", "{{ day }}"), "failed"),
            (changed("day", "html_content=", "html_content='{{ ds }}' or "), "lost its text"),
            ({"send_email_task": called("send_email")}, "No mail arrived"),
        ],
    ),
    "returns": Answers(
        [
            RETURNS,
            {
                "prepare_email": RETURNS["prepare_email"].replace("return ", "html = ").rstrip()
                + "\n    return html\n",
                "send_email_task": RETURNS["send_email_task"].replace(
                    "'prepare_email_task'", "'prepare_email_task', key='return_value'"),
            },
            changed("returns", PULL, "ti.xcom_pull('prepare_email_task')", "send_email_task"),
        ],
        [
            (RETURNS | {"prepare_email": f"def prepare_email(**context):\n    return {MAIL!r}\n"},
             "without its text"),
            (stub("returns", "value=html_content)", "value=html_content)\n    return 1"),
             "still pushes an XCom with the key email"),
            (RETURNS | stub("returns", 'key="email"', 'key="return_value"')
             | {"send_email_task": RETURNS["send_email_task"]}, "with the key return_value"),
            ({"prepare_email": RETURNS["prepare_email"]}, "which key does the template ask for"),
            ({"prepare_email": "def prepare_email(**context):\n    pass\n"}, "leaves nothing"),
            (changed("returns", "return ", "html = "), "leaves nothing"),
            (RETURNS | {"prepare_email_task": called("prepare")}, "prepare_email_task is gone"),
            (RETURNS | {"prepare_email_task": called("prepare_email_task")},
             "prepare_email_task must still call its function"),
        ],
    ),
    "pipefail": Answers(
        [
            SOLUTIONS["pipefail"],
            changed("pipefail", "(grep -oE '^[^ ]+' || true)", "sed 's/ .*//'"),
            changed("pipefail", "(grep -oE '^[^ ]+' || true)", "awk '{{print $1}}'"),
        ],
        [
            (stub("pipefail", '"gcloud {}', '"set -e; gcloud {}'), "and the task does not"),
            (stub("pipefail", '"gcloud {}', '"set -o pipefail; gcloud {}'),
             "an empty list is no error"),
            (stub("pipefail", '"gcloud {}', '"false; exit 1; gcloud {}'), "nothing is wrong"),
            (changed("pipefail", "| tail -n +2 ", "|| true | tail -n +2 "), "the three names"),
            (changed("pipefail", "instances list", "instances list --sorted"),
             "This is the workbook's stand-in for gcloud."),
            (changed("pipefail", "| tr '\\n' ' '", ""), "the three names"),
        ],
    ),
    "predict": Answers(
        [
            PREDICTED, dict(reversed(PREDICTED.items())),
            {task: state.upper() for task, state in PREDICTED.items()},
        ],
        [
            (dict.fromkeys(PREDICTED, "success"), "4 of 7 states"),
            (PREDICTED | {"send_email": "skipped"}, "1 of 7 states"),
            (LISTS, "says nothing about prepare_email_task"),
            (PREDICTED | {"send_mail": "failed"}, "no task 'send_mail'"),
            ("failed", "Answer with a dict"),
            ({}, "says nothing about"),
        ],
    ),
    "sensor": Answers(
        [
            SOLUTIONS["sensor"],
            {"dependencies": BY_PYTHON},
            waits(RUNS, "timeout=25, poke_interval=2, mode='reschedule'"),
            waits("gcloud compute instances list -q --format='value(name,status)' "
                  "--filter='name=web-1 AND status=RUNNING' | grep -q web-1",
                  "timeout=25, poke_interval=2"),
            waits(RUNS, "timeout=20, poke_interval=2"),
            waits(RUNS, "timeout=40, poke_interval=2"),
        ],
        [
            (waits(RUNS.replace("web-1 ", "web-1")), "is content all the same"),
            (waits("gcloud compute instances list --format='value(name)' | grep -qx web-1"),
             "web-1 has the status TERMINATED"),
            (waits(RUNS.replace("web-1", "web-2")),
             "does not see it. waits failed: it never saw what it waits for."),
            ({"dependencies": BY_PYTHON.replace('it["name"]', "nobody")},
             "does not see it. waits failed: NameError: name 'nobody' is not defined."),
            (waits(RUNS, "timeout=30, poke_interval=5, soft_fail=True"), "no soft_fail"),
            (waits(RUNS, "timeout=30"), "would give up after 60 seconds"),
            (waits(RUNS, "poke_interval=5"), "would give up after 604800 seconds"),
            (waits(RUNS, "timeout=19, poke_interval=2"), "would give up after 19 seconds"),
            (waits(RUNS, "timeout=41, poke_interval=2"), "would give up after 41 seconds"),
            (waits(RUNS, "timeout=30, poke_interval=30"), "timeout is 30, its poke_interval 30."),
            ({"dependencies": waits(RUNS)["dependencies"]
              + f'dag.get_task("{COMPUTE}").trigger_rule = "all_done"\n'},
             f"the sensor gives up, and {COMPUTE} is success"),
            (stub("fifth", '    ("compute", "Compute Engine"),\n', "")
             | {"dependencies": waits(RUNS)["dependencies"].replace(
                 f'dag.get_task("{COMPUTE}")', "prepare_email_task")},
             "The list task of compute is gone"),
            (waits("true"), "is content all the same"),
            (waits("gcloud compute instances list --sorted"), "This is the workbook's stand-in"),
            ({"dependencies": "prepare_email_task >> send_email_task >> BashOperator("
                              "task_id='t', bash_command='echo', dag=dag)\n"}, "no sensor"),
            (changed("sensor", "wait_for_web_1 >> ", ""), "draw the arrow"),
        ],
    ),
    "expand": Answers(
        [
            towns("total(length.expand(city=cities()))"),
            towns("found = cities(); lengths = length.expand(city=found); total(lengths)"),
            towns("total(length.expand_kwargs(cities().map(lambda name: {'city': name})))"),
        ],
        [
            (towns("found = cities(); lengths = length.expand(city=['Gdansk', 'Krakow', "
                   "'Warszawa']); found >> lengths; total(lengths)"),
             "has 3 instances, and cities returned 2"),
            (towns("cities(); total([length('Gdansk'), length('Krakow'), length('Warszawa')])"),
             "not mapped"),
            (towns("cities(); total([length('Gdansk')])"), "not mapped"),
            (towns("cities(); total(length.expand(city=['Gdansk']))"), "has 1 instances"),
            (towns("cities(); total(length.expand(city=['Gdansk', 'Krakow', 'Warszawa']))"),
             "stand in the DAG file"),
            (towns("length.expand(city=cities()); total([1])"), "total returned 1"),
            (towns("cities()"), "no task length"),
            (towns("from airflow.providers.standard.operators.bash import BashOperator\n"
                   "    found = BashOperator(task_id='cities', bash_command='echo Hel', "
                   "output_processor=list).output\n    total(length.expand(city=found))"),
             "cities must still be a function"),
            (towns("total = task(task_id='total')(lambda lengths: 20)\n"
                   "    total(length.expand(city=cities()))"),
             "total returned 20 for Lublin, Hel: it does not get all the lengths."),
        ],
    ),
    "how_many": Answers(
        [22, 22.0, 20 + 2],
        [
            (20, "two tasks stand beside"),
            (11, "two tasks stand beside"),
            (9, "two tasks stand beside"),
            (-22, "two tasks stand beside"),
            ("22", "Answer with a number: yours is a text"),
            ([22], "yours is a list of numbers"),
        ],
    ),
    "missing": Answers(
        [MISSING, upside_down(MISSING), {key: f" {value}" for key, value in MISSING.items()}],
        [
            (MISSING | {"tasks fail": "scheduler"}, "not 'scheduler'"),
            (MISSING | {"nothing new starts": "api-server"}, "'nothing new starts': not"),
            (dict.fromkeys(MISSING, "scheduler"), "'a changed DAG file is not seen': not"),
            (MISSING | {"nothing is lost": "triggerer"}, "Nobody asked for"),
            ({}, "not None"),
            ("scheduler", "Answer with a dict"),
        ],
    ),
    "order": Answers(
        [["alarm", "note", "copy"], ("alarm", "note", "copy"), ["Alarm", "NOTE", " copy."]],
        [
            (["copy", "note", "alarm"], "Not copy there"),
            (["alarm", "copy", "note"], "Not copy there: the weight decides"),
            (["note", "note", "copy"], "the three names"),
            (["alarm"], "the three names"),
            ([["alarm"], ["note"], ["copy"]], "the three names"),
            ("alarm, note, copy", "the three names"),
        ],
    ),
    "queues": Answers(
        [QUEUES, {"none": ["b", "a"], "gpu": ["b"], "tpu": []},
         {"none": ("A", "B"), "gpu": frozenset("b"), "tpu": ""}],
        [
            (QUEUES | {"none": {"a"}}, "'none'"),
            (QUEUES | {"gpu": {"a", "b"}}, "'gpu'"),
            (QUEUES | {"tpu": {"b"}}, "'tpu'"),
            ({"none": {"a", "b"}, "gpu": {"b"}}, "'tpu'"),
            (QUEUES | {"gpu": [["b"]]}, "'gpu'"),
            (QUEUES | {"default": {"a"}}, "Nobody asked for 'default'"),
            (3, "Answer with a dict"),
        ],
    ),
    "silent": Answers(
        ["its supervisor", "Its supervisor.", " ITS SUPERVISOR "],
        [
            ("nobody", "Not nobody"),
            ("the scheduler", "Not the scheduler"),
            ("the worker", "one of the three"),
            ("", "one of the three"),
            ([["its supervisor"]], "one of the three"),
            (3, "one of the three"),
        ],
    ),
    "merge": Answers(
        ["none", "None", "NONE."],
        [
            ("2Gi", "it has no limits"),
            ("1Gi", "it has no limits"),
            ("4Gi", "one of the three"),
            ("no limit", "one of the three"),
            (2, "one of the three"),
            (["none"], "one of the three"),
        ],
    ),
    "which": Answers(
        [WHICH, upside_down(WHICH), {key.upper(): value for key, value in WHICH.items()}],
        [
            (WHICH | {"months": "celery"}, "'months': not 'celery'"),
            (WHICH | {"nights": "celery"}, "'nights': not 'celery'"),
            (WHICH | {"seconds": "kubernetes"}, "'seconds': not"),
            (WHICH | {"seconds": {"celery"}}, "'seconds': not"),
            ({}, "'nights': not None"),
            ("local", "Answer with a dict"),
        ],
    ),
    "travel": Answers(
        [{2, 3, 4}, [4, 3, 2], range(2, 5), {2.0, 3.0, 4.0}],
        [
            ({1, 2, 3, 4}, "pendulum comes with Airflow"),
            ({3, 4}, "line 2 again"),
            ({2, 4}, "line 3 again"),
            ({2, 3}, "line 4 again"),
            ({2, 3, 4, 5}, "Nobody asked for '5'"),
            ([[2], [3], [4]], "yours is a list of lists"),
            ({"2", "3", "4"}, "Answer with a set of numbers: yours is a set of texts."),
            ([2, 3.0, "4"], "yours is a list of numbers and texts."),
            (2, "Answer with a set"),
        ],
    ),
    "yours": Answers(
        [{"write tests", "renew the webhook"}, ["renew the webhook", "write tests"],
         ("Write tests.", "Renew the webhook.")],
        [
            ({"write tests", "upgrade the database"}, "To upgrade the database"),
            ({"restart a dead scheduler"}, "To restart a dead scheduler is what you"),
            ({"renew the webhook"}, "Who but you can write"),
            ({"write tests"}, "Who but you can renew"),
            ({"write tests", "renew the webhook", "sleep"}, "Nobody asked for"),
            ([{"write tests"}], "Answer with a set of texts: yours is a list of sets."),
            ("all", "Answer with a set"),
        ],
    ),
    "could_be_read": Answers(
        [
            lambda s, e: s == 0 and "did not succeed" not in e and "unreachable" not in e,
            lambda s, e: not s and "WARNING" not in e,
            lambda status, stderr: status == 0 and stderr in ("", "Listed 0 items.\n"),
        ],
        [
            (lambda s, e: True, "For a denied list of Spanner your function returns True"),
            (lambda s, e: s == 0, "For a denied list of Compute Engine your function"),
            (lambda s, e: not e, "For an empty list"),
            (lambda s, e: False, "For a list with machines your function returns False."),
            (lambda s, e: "auth login" in e or not (s or "WARNING" in e),
             "For missing credentials your function returns True."),
            (lambda s, e: s == 0 and "did not succeed" not in e,
             "For an instance of Spanner that does not answer your function returns True"),
            (lambda s, e: "ERROR" not in e and "WARNING" not in e, "a gcloud that was killed"),
            (lambda s, e: e.nothing,
             "For a list with machines your function does not answer. It stops with Attribute"),
            (lambda s: s == 0, "It stops with TypeError"),
            (lambda s, e: exit("no"), "It stops with SystemExit: no"),
            (True, "Hand over a function"),
        ],
    ),
    "which_step": Answers(
        [STEPS, upside_down(STEPS), {f" {key.title()}. ": step for key, step in STEPS.items()}],
        [
            (STEPS | {"denied, and green": 1}, "red for the first time"),
            (STEPS | {"denied, and green": 4}, "red for the first time"),
            (STEPS | {"red, and nobody is told": 3}, "though a list failed"),
            (STEPS | {"the webhook is in the log": "five"}, "three stars"),
            (STEPS | {"no permission, asked three times": 4}, "a policy for errors"),
            (STEPS | {"late": 6}, "for each of the four reports"),
            ([2, 4, 5, 6], "for each of the four reports"),
        ],
    ),
    "red": Answers(
        [
            RED, dict(reversed(RED.items())),
            {what: f"{colour.title()}." for what, colour in RED.items()},
        ],
        [
            (dict.fromkeys(RED, "green"), "2 of 5"),
            (dict.fromkeys(RED, "red"), "3 of 5"),
            (RED | {"Spanner is denied": "blue"}, "'blue' is neither"),
            (RED | {"Spanner is denied": ["red"]}, "is neither"),
            ({"Spanner is denied": "green"}, "Answer with a dict"),
            ("green", "Answer with a dict"),
        ],
    ),
    "promise": Answers(
        [["silent", "killed after"], {"killed after", "silent"}, ("Killed after.", "SILENT")],
        [
            (["silent"], "another moment"),
            (["killed after"], "another moment"),
            (["silent", "killed before"], "Nothing had arrived"),
            (["refused", "silent"], "Nothing had arrived"),
            (["silent", "killed"], "killed before, killed after"),
            ([["silent"]], "Answer with a list"),
            ("all", "Answer with a list"),
        ],
    ),
    "testable": Answers(
        [
            digest(A_TEXT, OF_BOTH),
            digest('Param("platform", enum=["platform", "data"])', OF_BOTH),
            digest(A_TEXT, "'Report of ' + ds + ' for ' + params['team']"),
        ],
        [
            (digest(A_TEXT, "'Report of 2018-12-01 for platform'"), "In the run of 2018-12-02"),
            (digest("'platform'", OF_BOTH), "say the type of the parameter"),
            (digest(A_TEXT, "f'Report of {date.today()} for platform'"), "the day of the clock"),
            (digest(A_TEXT, "f'Report of {ds} for platform'"), "With run_conf={'team': 'data'}"),
            (digest("'data'", OF_BOTH), "run the DAG's cell again"),
            (digest(A_TEXT, "ds.nothing"), "The task title failed: AttributeError"),
            (digest(A_TEXT, "None"), "title returned None"),
        ],
    ),
    "catches": Answers(
        [looks_by_airflow_alone, looks(all_succeeded, kept_12), ends_by_pytest],
        [
            (looks(is_green), "though send was skipped"),
            (looks(all_succeeded), "though total left out a price"),
            (looks(kept_12), "though send failed"),
            (skips_by(pytest.skip), "it is skipped, though send failed"),
            (skips_by(pytest.xfail), "it is skipped, though send failed"),
            (skips_by(pytest.exit), "it is skipped, though send failed"),
            (skips_by(SkipTest), "it is skipped, though send failed"),
            (pytest.mark.skip(looks(all_succeeded, kept_12)), "has the mark skip, with which"),
            (pytest.mark.xfail(looks(all_succeeded, kept_12)), "has the mark xfail, with which"),
            (pytest.mark.skipif(True, reason="x")(looks(is_green)), "has the mark skipif"),
            (lambda invoice: None, "though send failed"),
            (looks(all_succeeded, kept_12, lambda run, xcoms: xcoms["value"][0] == 3),
             "It stops with AssertionError"),
            (lambda: None, "It stops with TypeError"),
            (True, "Hand over a function"),
        ],
    ),
    "dateless": Answers(
        [
            inventory('f"Inventory of {ds or dag_run.run_after.date()}"'),
            inventory('"Inventory of " + (ds or dag_run.run_after.strftime("%Y-%m-%d"))'),
            inventory('f"Inventory of {str(dag_run.logical_date or dag_run.run_after)[:10]}"'),
        ],
        [
            (inventory('f"Inventory of {ds}"'), "returned 'Inventory of None'"),
            (inventory('f"Inventory of {dag_run.run_after.date()}"'), "In the run of 2018-12-01"),
            (inventory('"Inventory of 2018-12-01"'), "In the run of 2018-12-02"),
            (inventory('f"Inventory of {ds or date.today()}"'), "not 'Inventory of 2018-12-05'"),
            (inventory('f"Inventory of {ds or dag_run.run_after}"'), "05 00:00:00+00:00'"),
            (inventory('f"Inventory of {dag_run.logical_date.date()}"'),
             "without a date that may begin on 2018-12-05: The task title failed: AttributeError"),
            (inventory("None"), "title returned None"),
        ],
    ),
    "who_tells": Answers(
        [TELLS, upside_down(TELLS), {key.upper(): value for key, value in TELLS.items()}],
        [
            (TELLS | {"next_ds": "test"}, "not test. The table of findings has it"),
            (TELLS | {"execution_date": "ruff"}, "What did the first run say?"),
            (TELLS | {"create_session": "test"}, "where is it closed?"),
            (TELLS | {"a date one day later": "worker"}, "Every run is green"),
            (TELLS | {"sla": "ruff"}, "names somebody for each of"),
            ({}, "names somebody for each of"),
        ],
    ),
}  # fmt: skip


def numbers() -> dict[str, tuple[int, int]]:
    """Return how many right and how many wrong answers each judge is tried with."""
    return {name: (len(each.right), len(each.wrong)) for name, each in TABLE.items()}
