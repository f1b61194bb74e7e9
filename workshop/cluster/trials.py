"""One fault for both DAGs, and a comparison of what they then told people.

What a message or a mail claims is held against the world it speaks of. Nothing here knows what
should come out.
"""

import ast
import html
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from workshop import sandbox
from workshop.cluster.cluster import Cluster, Run
from workshop.cluster.waiting import SECONDS, wait_for
from workshop.ground import Problem, count, paths
from workshop.lab import current, inside, load
from workshop.sandbox import gcloud
from workshop.show import Progress, tasks

DAGS = {"2018": "gcp_spy", "today": "gcp_spy_today"}
PATIENCE = 5  # seconds for a gcloud that hangs; by default 120
NOTICE = "a notice"  # that the other channel failed


class Trials(dict[str, dict[str, str]]):
    """The faults that were tried in this notebook: what each DAG did, in a sentence."""


def trial(what: str, world: str = "talk", **switches: Any) -> pd.DataFrame:
    """Run both DAGs under a fault, and return what each did: a row a DAG. The fault then ends.

    Args:
        what: the fault in words; its row in `table()`.
        world: the sandbox's world.
        switches: faults, as for `fault()`.

    Raises:
        Problem: no such world or fault, or this is the real world.
    """
    rows = {when: run_one(what, name, world, switches) for when, name in DAGS.items()}
    return keep(what, rows)


def run_one(what: str, name: str, world: str, switches: dict[str, Any]) -> dict[str, str]:
    """Return what the DAG with a name did under a fault; raises as `trial`."""
    with Progress("Interrupted; the fault has ended. Run the cell again.") as progress:
        progress.show(f"{what}: {name} runs.")
        with sandbox.visit(world) as box:
            sandbox.set_faults(switches)
            dag = load(name)  # it reads the recipient when it is read itself
            hangs = "hanging" in switches.values() and "gcloud_seconds" in dag.params
            run = dag.test(run_conf={"gcloud_seconds": PATIENCE} if hangs else None)
            return outcome(box, inside.run_state(run), tasks(run))


def hours(name: str, zone: str) -> list[int]:
    """Return the hours on the clock of a time zone at which a DAG starts in the course of a year.

    Args:
        name: the DAG's id, a file of the folder dags.
        zone: for example Europe/Warsaw.
    """
    ticks = inside.first_ticks(load(name), 365)
    return sorted({tick.in_timezone(zone).hour for tick in ticks})


def on(cluster: Cluster, what: str, begin: Callable[[str], Run], **switches: Any) -> pd.DataFrame:
    """Run both DAGs in a cluster under a fault, and return what each did: a row a DAG.

    Args:
        cluster: where both files are known.
        what: the fault in words; its row in `table()`.
        begin: takes a DAG's id, starts a run, does the damage, and returns the run.
        switches: faults of the sandbox meanwhile, as for `fault()`.

    Raises:
        Problem: a run does not end.
    """
    rows = {}
    for when, name in DAGS.items():
        has_callback = load(name).on_failure_callback
        with sandbox.visit("talk") as box:
            sandbox.set_faults(switches)
            before = _callbacks(cluster)
            run = cluster.finish(begin(name))
            if has_callback and run.state == "failed":
                _wait_for_callback(cluster, before)
            rows[when] = outcome(box, run.state, cluster.tasks(run))
    return keep(what, rows)


def _callbacks(cluster: Cluster) -> int:
    """Return how many callbacks of failed runs the DAG processor has begun, as its logs say."""
    logs = (cluster.home / "logs" / "dag_processor").rglob("*.log")
    return sum(log.read_text("utf-8", "replace").count("on_failure dag callback") for log in logs)


def _wait_for_callback(cluster: Cluster, before: int) -> None:
    processor = psutil.Process(cluster.processes["dag-processor"].pid)
    wait_for(
        # A process of its own reads the file and calls; it lives as long as the callback runs.
        lambda: _callbacks(cluster) > before and not processor.children(),
        bool,
        lambda _: "The DAG processor did not call what the DAG has for a run that fails.",
    )


def until_told(cluster: Cluster, word: str, number: int) -> pd.DataFrame:
    """Wait until a triggerer has sent messages or mails with a word in their titles; return them.

    They are in the order of their titles: a triggerer sends many at once.

    Args:
        cluster: whose triggerer sends them.
        word: in each title.
        number: how many to wait for.

    Raises:
        Problem: they did not come in time; or they did not come yet, and a process ended, or
            there is no scheduler or no triggerer.
    """

    def told() -> pd.DataFrame:
        arrived = sandbox.arrived()
        rows = arrived[arrived["title"].str.contains(word, regex=False)]
        if len(rows) < number:
            cluster.ensure_running("scheduler", "triggerer")
        return rows

    return wait_for(
        told,
        lambda rows: len(rows) >= number,
        lambda rows: f"{len(rows)} of {number} came with the word '{word}'.",
        show=lambda rows: f"{len(rows)} of {number} came.",
    ).sort_values("title", ignore_index=True)


def worker_of(cluster: Cluster, service: str) -> psutil.Process:
    """Wait until a task lists a service, and return the worker that it runs in.

    Raises:
        Problem: none does in time, or there is no scheduler.
    """

    # The stand-in gets this file at each call, and nobody else does.
    faults = str(current()[sandbox.Sandbox].home / "faults.json")

    def lister() -> psutil.Process | None:
        cluster.ensure_running("scheduler")
        for worker in psutil.Process(cluster.processes["scheduler"].pid).children():
            with suppress(psutil.Error):
                for process in worker.children(recursive=True):
                    if {faults, service} <= {*process.cmdline()}:
                        return worker
        return None

    return wait_for(lister, bool, lambda _: f"No task listed {service} within {SECONDS} seconds.")


def kill_worker(cluster: Cluster, service: str) -> None:
    """End the worker that lists a service, and all that it started, as a machine's end would."""
    worker = worker_of(cluster, service)
    for process in [worker, *worker.children(recursive=True)]:
        with suppress(psutil.Error):
            process.kill()


def run_with_full_disk(cluster: Cluster, dag_id: str) -> Run:
    """Start a run whose logs go to /dev/full, which says of each byte that the disk is full.

    Raises:
        Problem: this system has no /dev/full.
    """
    full = Path("/dev/full")
    if not full.exists():
        raise Problem("This system has no /dev/full, so a full disk cannot be shown here.")
    run_id = "full_disk"
    tasks = cluster.get(f"dags/{dag_id}/tasks")["tasks"]
    for task in tasks:
        folder = cluster.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
        folder /= f"task_id={task['task_id']}"
        indexes = range(len(_listed())) if task["is_mapped"] else ()
        for part in [f"map_index={number}" for number in indexes] or [""]:
            (folder / part).mkdir(parents=True)
            for number in range(1, 4):
                (folder / part / f"attempt={number}.log").symlink_to(full)
    made = cluster.post(f"dags/{dag_id}/dagRuns", {"logical_date": None, "dag_run_id": run_id})
    return Run(dag_id, run_id, made["state"])


def lock_database(cluster: Cluster, seconds: float) -> None:
    """Lock the table of task instances in the cluster's database, and wait.

    Args:
        cluster: with a PostgreSQL.
        seconds: how long nobody else may read or write it.
    """
    from sqlalchemy import create_engine

    engine = create_engine(cluster.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    with engine.begin() as connection:
        inside.lock_task_instances(connection)
        time.sleep(seconds)
    engine.dispose()


def outcome(box: sandbox.Sandbox, state: str, tasks: pd.DataFrame) -> dict[str, str]:
    """Return what a run did, in words: its state, its red tasks, the messages, the mails.

    Args:
        box: the sandbox, with all that arrived.
        state: of the run.
        tasks: its task instances: task, map_index where there is one, state, tries.
    """
    failed = tasks[tasks["state"] == "failed"].to_dict("records")
    red: dict[str, list[str]] = {}
    for row in failed:
        tries = "" if row["tries"] < 2 else f" after {row['tries']} tries"
        red.setdefault(f"{row['task']}{{}}{tries}", []).append(_service(row))
    real = _world(box)
    taken = [it for it in box.slack.messages if it.status in (200, sandbox.NO_STATUS)]
    return {
        "run": state,
        "red tasks": ", ".join(task.format(_which(which)) for task, which in red.items()) or "none",
        "Slack": _told([_slack(message.payload, real) for message in taken]),
        "mail": _told([_mail(mail, real) for mail in box.mail.mails]) + _to_whom(box),
    }


def _to_whom(box: sandbox.Sandbox) -> str:
    """Return how many of those who shall get the mails got none; empty: all got one, or nobody."""
    reached = {recipient for mail in box.mail.mails for recipient in mail.recipients}
    missed = set(box.recipients) - reached
    return f"; none to {len(missed)} of {len(box.recipients)}" if reached and missed else ""


def keep(what: str, rows: dict[str, dict[str, str]]) -> pd.DataFrame:
    """Put what both DAGs did under a fault into `table()`, and return it: a row a DAG.

    Args:
        what: the fault in words.
        rows: what `outcome` returned, by the names of DAGS.
    """
    tried = current().find(Trials) or current().put(Trials())
    tried[what] = {when: _sentence(row) for when, row in rows.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def table() -> pd.DataFrame:
    """Return every fault that was tried in this notebook, both DAGs side by side.

    Raises:
        Problem: none was tried.
    """
    tried = current().find(Trials)
    if not tried:
        raise Problem("No fault was tried yet: run the cells above first.")
    return pd.DataFrame.from_dict(tried, orient="index")


def _sentence(row: dict[str, str]) -> str:
    if set(row) == {"what happened"}:
        return row["what happened"]
    told = (
        f"Slack and mail: {row['Slack']}"
        if row["Slack"] == row["mail"]
        else f"Slack: {row['Slack']}; mail: {row['mail']}"
    )
    red = "" if row["red tasks"] == "none" else f", red: {row['red tasks']}"
    return f"{row['run']}{red}. {told}."


def _service(row: dict[str, Any]) -> str:
    """Return the service that a mapped task lists; nothing where the index is not known."""
    index = row.get("map_index", -1)
    return "" if index == -1 else _listed()[index]


def _listed() -> list[str]:
    """Return the services that the DAG of today lists, in the order of its mapped tasks."""
    tree = ast.parse((paths.DAGS / f"{DAGS['today']}.py").read_text(encoding="utf-8"))
    assigned = {
        ast.unparse(it.targets[0]): it.value for it in tree.body if isinstance(it, ast.Assign)
    }
    return list(ast.literal_eval(assigned["SERVICES"]))


def _which(services: list[str]) -> str:
    named = ", ".join(filter(None, services))
    return f"[{named}]" if named else f" ({len(services)})" if len(services) > 1 else ""


def _world(box: sandbox.Sandbox) -> dict[str, list[str]]:
    """Return the names that are really there, by the title that a report gives their service."""
    services = gcloud.read_world(box.path)["services"]
    return {
        gcloud.SERVICES[service].title: [_plain(it["name"]) for it in services[service]]
        for service in _listed()
    }


def _plain(name: str) -> str:
    """Return a name as a report may show it: a mark in place of what could end its markup."""
    return "".join(char if char.isprintable() and char != "`" else "?" for char in name)


def _told(parts: list[str]) -> str:
    reports = [part for part in parts if part != NOTICE]
    told = f"{len(reports)}: {'; '.join(reports)}" if len(reports) > 1 else "".join(reports)
    return " + ".join([*([told] if told else []), *[NOTICE] * parts.count(NOTICE)]) or "none"


def _slack(payload: dict[str, Any], real: dict[str, list[str]]) -> str:
    """Return what is to say about a message."""
    attachments = payload.get("attachments", [])
    fields = [field for attachment in attachments for field in attachment.get("fields", [])]
    texts = [f"{field['title']}:\n{field['value']}" for field in fields]
    texts += [block["text"]["text"] for block in payload.get("blocks", []) if "text" in block]
    if not texts:
        return NOTICE
    claims: dict[str, list[str]] = {}
    for text in texts:
        title, _, body = text.partition("\n")
        claims[title.strip("*:")] = [html.unescape(it) for it in body.splitlines() if it != "-"]
    calls = "<!" in json.dumps(payload)
    told = [it for block in payload.get("blocks", []) for it in block.get("elements", [])]
    notes = " ".join(it["text"] for it in told)
    return _verdict(claims, real, notes, ["calls everybody in the channel"] if calls else [])


def _mail(mail: sandbox.Mail, real: dict[str, list[str]]) -> str:
    """Return what is to say about a mail."""
    without_notes = re.sub(r" <i>[^<]*</i>(?=<br>)", "", mail.html)
    parts = re.split(r"<b>([^<]*)</b>:<br>", without_notes)
    if len(parts) == 1:
        return NOTICE
    claims = {
        title: [html.unescape(line) for line in body.split("<br>") if line not in ("", "-")]
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    # A report's own tags are <br>, and <b> around its titles.
    foreign = re.search(r"<(?!br?>)[a-z]", without_notes, re.I) or "<b>" in "".join(parts[2::2])
    return _verdict(claims, real, parts[0], ["runs what a name says"] * bool(foreign))


def _verdict(
    claims: dict[str, list[str]], real: dict[str, list[str]], notes: str, found: list[str]
) -> str:
    """Return what is wrong with a report's claims, or that they are true."""
    no_instance = missing = 0
    admitted, unread = 0, []
    for title, lines in {**{title: [] for title in real}, **claims}.items():
        # Behind its name stands where an instance is.
        names = Counter(re.sub(r"^`([^`]*)`( .*)?$", r"\1", line) for line in lines)
        for line in [line for line in names if re.match("(:warning: )?gcloud warns: ", line)]:
            del names[line]
        for line in [line for line in names if "could not be read" in line]:
            unread.append(title)
            del names[line]
        for line in [line for line in names if re.match(r"… and \d+ more", line)]:
            admitted += int(line.split()[2])
            del names[line]
        there = Counter(real.get(title, []))
        no_instance += (names - there).total()
        missing += 0 if title in unread else (there - names).total()
    if no_instance:
        found.append(count(no_instance, "false name"))
    if missing and missing == admitted:
        found.append("true, the rest counted")
    elif missing:
        found.append(f"{count(missing, 'instance')} left out")
    if unread:
        found.append(f"true, and says that it could not read {', '.join(unread)}")
    text = ", ".join(found) or "true"
    for note, said in (("Sent again", "sent again"), ("Correction", "a correction")):
        text += f", and says that it is {said}" if note in notes else ""
    return text
