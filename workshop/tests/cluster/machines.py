"""Celery workers on two machines, which fetch the DAG files from a git repository.

Each machine is a network of its own. It is run by a test, as root and in a third such network,
which leads nowhere else: there the servers listen on an address that is not loopback. It prints
what each machine's task saw, as JSON.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from workshop import start
from workshop.cluster import Cluster, Components, databases
from workshop.cluster.components import HERE

HEAD = "10.18.0.1"
MACHINES = {"one": "10.18.1", "two": "10.18.2"}
PASSWORD = "s3cret"
WHERE = f"""\
import socket
from airflow.sdk import DAG, task

with DAG("where"):
    for name in {list(MACHINES)}:

        @task(task_id=name, queue=name)
        def look():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
                way.connect(("{HEAD}", 9))
                return [way.getsockname()[0], __file__]

        look()
"""


def run(*words: object, **options: Any) -> None:
    subprocess.run(list(map(str, words)), check=True, stdout=sys.stderr, **options)


def add_machine(network: str, at_end: ExitStack) -> list[str]:
    """Make a network that leads to this one, and return the words that run a program there."""
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 3600"],
                              stdout=subprocess.PIPE)  # fmt: skip
    at_end.callback(holder.kill)
    assert holder.stdout and holder.stdout.readline()
    there = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
    name = f"v{network.rsplit('.', 1)[1]}"
    run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", holder.pid)
    run("ip", "address", "add", f"{network}.1/24", "dev", name)
    run("ip", "link", "set", name, "up")
    run(*there, "ip", "address", "add", f"{network}.2/24", "dev", "eth0")
    for device in ("lo", "eth0"):
        run(*there, "ip", "link", "set", device, "up")
    run(*there, "ip", "route", "add", "default", "via", f"{network}.1")
    return there


def serve_git(folder: Path, at_end: ExitStack) -> str:
    """Serve a repository with the DAG where, and return its address."""
    (folder / "spies" / "dags").mkdir(parents=True)
    (folder / "spies" / "dags" / "where.py").write_text(WHERE, encoding="utf-8")
    git = ["git", "-C", folder / "spies", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    run(*git, "init", "--quiet", "--initial-branch=main")
    run(*git, "add", ".")
    run(*git, "commit", "--quiet", "--message=where")
    words = ["git", "daemon", "--export-all", f"--base-path={folder}", f"--listen={HEAD}"]
    at_end.callback(subprocess.Popen(words).terminate)
    return f"git://{HEAD}/spies"


def serve_databases(servers: Components) -> None:
    """Start PostgreSQL and Redis where other machines reach them, and name them for a cluster."""
    with (databases.make_postgres(servers) / "pg_hba.conf").open("a", encoding="utf-8") as rules:
        rules.write("host all all 10.18.0.0/16 trust\n")
    databases.serve_postgres(servers, HEAD)
    words = [databases.redis_program(), "--bind", HEAD, "--save", "",
             "--requirepass", PASSWORD, "--dir", str(servers.home)]  # fmt: skip
    servers.start("redis", words)
    servers.started(lambda: "Ready to accept" in servers.printed("redis"))
    os.environ[databases.POSTGRES] = f"postgresql://airflow@{HEAD}/postgres"
    os.environ[databases.REDIS] = f"redis://:{PASSWORD}@{HEAD}/0"


def main() -> None:
    """Let each machine's worker run a task, and print what it saw, by the worker's name."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{HEAD}/32", "dev", "lo")
    start("talk")
    with ExitStack() as at_end:
        # PostgreSQL's user goes through it: no folder of pytest's, which are closed to all others.
        folder = Path(at_end.enter_context(tempfile.TemporaryDirectory()))
        (bundle,) = yaml.safe_load((HERE / "kubernetes" / "celery.yaml").read_text("utf-8"))[
            "dagProcessor"
        ]["dagBundleConfigList"]
        bundle["kwargs"]["repo_url"] = serve_git(folder, at_end)
        machines = {name: add_machine(network, at_end) for name, network in MACHINES.items()}
        (folder / "servers").mkdir()
        servers = Components(folder / "servers", folder, dict(os.environ))
        at_end.callback(servers.stop)
        serve_databases(servers)
        bundles = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
        settings = {"AIRFLOW__API__HOST": "0.0.0.0", bundles: json.dumps([bundle]), "NO_PROXY": "*"}
        cluster = Cluster("celery", workers=0, settings=settings)
        at_end.callback(cluster.stop)
        cluster.wait()
        for name, there in machines.items():
            home = folder / name
            shutil.copytree(cluster.home / "config", home / "config")
            words = ["celery", "worker", "--celery-hostname", name, "--queues", name]
            own = {
                "AIRFLOW_HOME": str(home),
                "AIRFLOW__CORE__DAGS_FOLDER": str(home / "none"),
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": cluster.environment[
                    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL"
                ].replace("127.0.0.1", HEAD),
                "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
                "GCPSPY_HOST": name,
            }
            words = [*there, sys.executable, "-m", "airflow", *words, "--skip-serve-logs"]
            cluster.start(name, words, env=own)
            cluster.workers.append(name)
        cluster.wait()
        ran = cluster.run("where")
        path = f"dags/where/dagRuns/{ran.run_id}/taskInstances"
        said = {
            row.task: [
                row.where,
                *cluster.get(f"{path}/{row.task}/xcomEntries/return_value")["value"],
            ]
            for row in cluster.tasks(ran).itertuples()
        }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
