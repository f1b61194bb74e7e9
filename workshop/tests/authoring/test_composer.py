"""What would be uploaded to a managed Airflow, and what would not work there."""

import io
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import psutil
import pytest

from workshop.authoring.checking.headless import read
from workshop.authoring.upkeep import composer
from workshop.ground import DAGS, NOTEBOOKS, Problem
from workshop.sandbox import DAG_VARIABLES, TODAY_VARIABLES


@pytest.fixture(scope="module")
def made(tmp_path_factory: Any) -> tuple[Path, str]:
    """Return the bundle, and what making it printed; it is read in an Airflow of its own."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        folder = composer.bundle(tmp_path_factory.mktemp("composer") / "bundle")
    return folder, printed.getvalue()


def test_the_bundle_has_both_dags_and_the_packages_they_import(made: tuple[Path, str]) -> None:
    folder, printed = made
    for name in ("gcp_spy.py", "gcp_spy_today.py"):
        assert (folder / "dags" / name).read_text() == (DAGS / name).read_text()
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert [line.split("==")[0] for line in lines] == [
        "apache-airflow-providers-slack", "apache-airflow-providers-smtp",
        "apache-airflow-providers-standard", "pendulum", "requests", "slack-sdk",
    ]  # fmt: skip
    assert "It imports in an Airflow of its own" in printed
    assert not list(folder.rglob("*.pyc"))


@pytest.mark.weekly
def test_what_would_not_work_elsewhere_is_named(made: tuple[Path, str], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made[0], tmp_path / "bundle"))
    dags = folder / "dags"
    (dags / "place.py").write_text("# /home/anna/names.txt\nfrom airflow.sdk import DAG\n")
    (dags / "package.py").write_text("from airflow.sdk import DAG\nimport nowhere\n")
    (dags / "secret.py").write_text("from airflow.sdk import DAG\nimport os\nos.environ['KEY']\n")
    place, unread = composer.complaints(folder)
    assert place == "place.py, line 1, names a place of this machine"
    assert unread.startswith("a DAG file cannot be read: ")
    assert "package.py" in unread and "secret.py" in unread
    assert "place.py" not in unread and "gcp_spy.py" not in unread


def test_an_interrupt_leaves_no_reader_behind(tmp_path: Path, monkeypatch: Any) -> None:
    began = tmp_path / "began"
    waits = f"import os, pathlib, time\npathlib.Path({str(began)!r}).write_text(str(os.getpid()))\n"
    monkeypatch.setattr(composer, "READ", waits + "time.sleep(3600)")

    def interrupt() -> None:
        while not (began.exists() and began.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        composer.complaints(tmp_path)
    assert not psutil.pid_exists(int(began.read_text()))


def test_an_import_without_a_package_is_a_sentence() -> None:
    with pytest.raises(Problem, match="imports nowhere, and no package"):
        composer.requirements("import nowhere\n")


def test_the_variables_are_those_that_both_dags_read(lab: Any) -> None:
    from airflow.sdk import Connection  # it wants the home that the lab has made

    lines = composer.VARIABLES.read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line[0] != "#")
    assert sorted(given) == sorted([*DAG_VARIABLES, *TODAY_VARIABLES])
    mail, slack = (
        Connection.from_uri(given[f"AIRFLOW_CONN_{name}_DEFAULT"], conn_id=name)
        for name in ("SMTP", "SLACK")
    )
    assert slack.conn_type == "slackwebhook" and slack.password == given[DAG_VARIABLES[0]]
    # Port 587 begins without TLS and changes to it; gcp_spy_today tries again by itself.
    assert mail.port == 587
    assert mail.extra_dejson == {
        "disable_ssl": "true", "retry_limit": "0", "from_email": "airflow@example.com"
    }  # fmt: skip


def test_the_commands_of_the_notebook_set_every_variable(
    made: tuple[Path, str], tmp_path: Path
) -> None:
    cells = read(NOTEBOOKS / "11_composer.ipynb").cells
    (block,) = (
        found[1]
        for cell in cells
        if (found := re.search(r"```console\n(gcloud.*?)```", cell.source, re.DOTALL))
    )
    gcloud = tmp_path / "gcloud"
    gcloud.write_text('#!/bin/sh\nprintf "%s\\n" "$*" >> "$CALLED"\n')
    gcloud.chmod(0o755)
    called = tmp_path / "called"
    path = f"{tmp_path}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "CALLED": str(called)}
    subprocess.run(["bash", "-e", "-c", block], cwd=made[0], env=environment, check=True)
    (given,) = re.findall(r"--update-env-variables=(.*)", called.read_text())
    wanted = [line for line in composer.VARIABLES.read_text().splitlines() if line[0] != "#"]
    assert given.split(",") == wanted and len(wanted) == 5
    for name in re.findall(r"--(?:source|update-pypi-packages-from-file)=(\S+)", block):
        assert (made[0] / name).exists()
