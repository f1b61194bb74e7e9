"""Our values, rendered by a real helm from the official chart; run by `make check-executors`.

Helm comes from the wheel that holds kubectl. The chart is on no package index: WORKSHOP_CHART names
a copy of it, a .tgz file.
"""

import inspect
import json
import os
import re
import subprocess
from pathlib import Path
from string import Template
from typing import Any

import kubernetes_validate
import pytest
import yaml

from workshop.authoring.upkeep.kind import DEPLOYMENTS, NAMESPACE
from workshop.tests.cluster.chart import FOLDER, NAMES, written
from workshop.tests.cluster.executors_pods import the_locked

TEMPLATE = f"podTemplate={FOLDER / 'baked-in.yaml'}"
DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def chart() -> Path:
    path = os.environ.get("WORKSHOP_CHART")
    return Path(path) if path else pytest.skip("WORKSHOP_CHART names no copy of the chart")


@pytest.fixture
def helm(tmp_path: Path) -> Any:
    """Return what runs helm with our values, and gives what it prints."""
    program = the_locked("helm", tmp_path)

    def run(command: str, chart: Path, *words: str) -> str:
        values = ["--values", str(FOLDER / "values.yaml"), "--set-file", TEMPLATE]
        done = subprocess.run(
            [program, *command.split(), str(chart), *values, *words],
            capture_output=True, text=True, timeout=120, env=os.environ | {"HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_names_are_those_of_the_chart(chart: Path) -> None:
    assert NAMES.read_text(encoding="utf-8") == written(chart)


def test_the_chart_takes_our_values_and_warns_of_nothing(chart: Path, helm: Any) -> None:
    assert "0 chart(s) failed" in helm("lint", chart)
    said = helm("install airflow", chart, "--dry-run=client").partition("\nNOTES:\n")[2]
    assert "password: that of the secret gcp-spy-airflow" in said
    assert "password: admin" not in said and "postgres" not in said
    # Of one way to bring DAG files, which is not used here, it warns in any case.
    warned = [part for part in said.split("\n\n") if "WARNING" in part]
    assert ["dags.gitSync" in part for part in warned] in ([], [True])


def test_what_is_rendered_is_what_the_notebook_says(chart: Path, helm: Any) -> None:
    rendered = helm("template airflow", chart, "--set", f"images.airflow.digest={DIGEST}")
    made = [it for it in yaml.safe_load_all(rendered) if it]
    version = kubernetes_validate.latest_version()
    for it in made:
        kubernetes_validate.validate(it, version, strict=True)
    by_name = {(it["kind"], it["metadata"]["name"]): it for it in made}
    # The chart makes no key: a new one at each upgrade would end every session.
    assert not {name for kind, name in by_name if kind == "Secret"} & {
        "airflow-api-secret-key", "airflow-jwt-secret", "airflow-fernet-key", "airflow-metadata"
    }  # fmt: skip
    account = by_name["ServiceAccount", "gcp-spy"]
    assert account["metadata"]["annotations"] and not account["automountServiceAccountToken"]
    data = by_name["ConfigMap", "airflow"]["data"]
    assert data["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == (
        "http://airflow-api-server:8080/execution/"
    )
    assert ("Service", "airflow-api-server") in by_name
    config = by_name["ConfigMap", "airflow-config"]["data"]
    pod = yaml.safe_load(config["pod_template_file.yaml"])
    assert pod == yaml.safe_load((FOLDER / "baked-in.yaml").read_text(encoding="utf-8"))
    repository, tag = (
        next(it for it in config["airflow.cfg"].splitlines() if it.startswith(name))
        for name in ("worker_container_repository", "worker_container_tag")
    )
    image = f"registry.example.com/gcp-spy@{DIGEST}"
    assert f"{repository.split(' = ')[1]}:{tag.split(' = ')[1]}" == image
    ours = {line.split()[-1] for line in rendered.splitlines() if line.strip().startswith("image:")}
    assert image in ours and not {it for it in ours if it.startswith("apache/airflow")}
    assert "remote_logging = True" in config["airflow.cfg"]


def test_without_a_digest_pods_have_the_tag(chart: Path, helm: Any) -> None:
    rendered = helm("template airflow", chart)
    assert "worker_container_repository = registry.example.com/gcp-spy\n" in rendered
    assert "worker_container_tag = 2018.12.1\n" in rendered


def test_make_kind_has_a_database_and_keeps_the_pods(chart: Path, helm: Any) -> None:
    rendered = helm("template airflow", chart, "--values", str(FOLDER / "kind.yaml"),
                    "--namespace", NAMESPACE)  # fmt: skip
    made = [it for it in yaml.safe_load_all(rendered) if it]
    sandbox = Template((FOLDER / "sandbox.yaml").read_text(encoding="utf-8"))
    made += yaml.safe_load(sandbox.substitute(image="gcp-spy:sandbox"))["items"]
    for it in made:
        kubernetes_validate.validate(it, kubernetes_validate.latest_version(), strict=True)
    by_name = {(it["kind"], it["metadata"]["name"]): it for it in made}
    assert ("StatefulSet", "airflow-postgresql") in by_name
    assert {("Deployment", name) for name in DEPLOYMENTS} <= set(by_name)
    scheduler = by_name["Deployment", "airflow-scheduler"]["spec"]["template"]["spec"]
    assert "scheduler" in [it["name"] for it in scheduler["containers"]]
    config = by_name["ConfigMap", "airflow-config"]["data"]["airflow.cfg"].splitlines()
    assert {"remote_logging = False", "delete_worker_pods = False"} <= set(config)
    assert {it["metadata"].get("namespace", NAMESPACE) for it in made} == {NAMESPACE}


def test_celery_gets_the_dag_files_from_a_repository(chart: Path, helm: Any) -> None:
    from airflow.providers.git.bundles.git import GitDagBundle  # of the executors' packages

    rendered = helm("template airflow", chart, "--values", str(FOLDER / "celery.yaml"))
    made = {(it["kind"], it["metadata"]["name"]): it for it in yaml.safe_load_all(rendered) if it}
    for it in made.values():
        kubernetes_validate.validate(it, kubernetes_validate.latest_version(), strict=True)
    worker = made["StatefulSet", "airflow-worker"]["spec"]
    assert worker["replicas"] > 1
    account = worker["template"]["spec"]["serviceAccountName"]
    assert made["ServiceAccount", account]["metadata"]["annotations"]
    config = made["ConfigMap", "airflow-config"]["data"]["airflow.cfg"]
    (line,) = re.findall("dag_bundle_config_list = (.*)", config)
    (bundle,) = json.loads(line)
    assert bundle["classpath"] == f"{GitDagBundle.__module__}.{GitDagBundle.__name__}"
    inspect.signature(GitDagBundle).bind(name=bundle["name"], **bundle["kwargs"])
