"""`make kind` without a cluster: what it asks docker, kubectl, helm and kind for, and refusals."""

import base64
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from workshop import __version__
from workshop.authoring.upkeep import kind
from workshop.ground import ROOT, Problem
from workshop.sandbox import DAG_VARIABLES, served, unused_port

# It notes its words and its input, and answers as the first line of `answers` that fits says. A
# shell, because there are hundreds of calls. PATH leads to these stand-ins alone.
PROGRAM = r"""#!/bin/sh
here="${0%/*}" words="${0##*/} $*" given=""
case "$words " in *"--filename - "*) given="$(/bin/cat)" ;; esac
printf '%s\037%s\036' "$words" "$given" >> "$here/called"
case "$words" in *"--run-id "*) run="${words##*--run-id }"; echo "$run" > "$here/run" ;; esac
while IFS="$(printf '\037')" read -r part answer; do
  case "$words" in *"$part"*) ;; *) continue ;; esac
  case "$answer" in
    "error: "*) echo "${answer#error: }" >&2; exit 1 ;;
    *RUN*) read -r run < "$here/run"; answer="${answer%%RUN*}$run${answer#*RUN}" ;;
  esac
  printf '%b\n' "$answer"
  exit
done < "$here/answers"
"""
RUNS = r"2026-01-01 [warning] a line of a log\n" + json.dumps(
    [{"run_id": "scheduled", "state": "queued"}, {"run_id": "RUN", "state": "success"}]
)


class Programs:
    """Stand-ins for docker, kubectl, helm and kind: they do nothing, and note what was asked."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        for name in names:
            (folder / name).write_text(PROGRAM, encoding="utf-8")
            (folder / name).chmod(0o755)
        self.answer()

    def answer(self, *first: tuple[str, str]) -> None:
        usual = [("current-context", "kind-room"), ("get-contexts", r"kind-room\nprod"),
                 ("list-runs", RUNS), ("logs deployment/sandbox", "Slack message")]  # fmt: skip
        lines = "".join(f"{part}\037{answer}\n" for part, answer in [*first, *usual])
        (self.folder / "answers").write_text(lines, encoding="utf-8")

    def called(self) -> list[tuple[str, str]]:
        path = self.folder / "called"
        calls = path.read_text(encoding="utf-8").split("\036")[:-1] if path.exists() else []
        return [(words, given) for words, given in (call.split("\037") for call in calls)]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: Any) -> Programs:
    monkeypatch.setenv("PATH", str(tmp_path))
    return Programs(tmp_path, "docker", "kubectl", "helm", "kind")


def test_it_works_in_one_context_and_namespace_and_deletes_nothing(
    programs: Programs, capfd: Any
) -> None:
    kind.run_kind()
    said = capfd.readouterr().out
    assert "What arrived:\n\nSlack message" in said
    assert "until: kubectl --context kind-room delete namespace gcp-spy" in said
    called = programs.called()
    words = [words for words, _ in called]
    assert not [it for it in words if re.search(r"\b(delete|uninstall|prune|force)\b", it)]
    for it in words:
        if it.startswith("kubectl") and " config " not in it:
            assert it.startswith("kubectl --context kind-room --namespace gcp-spy "), it
        if it.startswith("helm"):
            assert "--kube-context kind-room --namespace gcp-spy" in it
            assert "helm upgrade --install airflow airflow --repo https://airflow.apache.org" in it
    short = [
        found[0] if (found := re.search(r"(create|apply|build|load|trigger \w+|unpause \w+)", it))
        else it.split()[0]
        for it in words
        if not re.search("info|config|get |rollout|list-runs|logs", it)
    ]  # fmt: skip
    assert short == [
        "create", "build", "build", "load", "create", "create", "apply", "helm",
        "trigger gcp_spy", "unpause gcp_spy", "trigger gcp_spy_today", "unpause gcp_spy_today",
    ]  # fmt: skip
    made = [json.loads(given) for _, given in called if given]
    assert [it["kind"] for it in made] == ["Namespace", "Secret", "Secret", "List"]
    assert made[0]["metadata"]["labels"] == dict([kind.MARK])
    # No secret stands in a command line or on the screen.
    hidden = [value for it in made[1:3] for value in it["stringData"].values()]
    assert not [it for it in hidden if it != kind.RECIPIENT and (it in said or it in str(words))]
    image = f"gcp-spy:{__version__}-sandbox"
    assert made[3]["items"][0]["spec"]["template"]["spec"]["containers"][0]["image"] == image
    assert f"kind load docker-image {image} --name room" in words


def test_what_an_earlier_one_made_is_used(programs: Programs) -> None:
    ours = {"metadata": {"labels": dict([kind.MARK])}}
    programs.answer(("get namespace", json.dumps(ours)), ("get secret", "secret/it"))
    kind.run_kind()
    assert [json.loads(given)["kind"] for _, given in programs.called() if given] == ["List"]


def test_an_image_of_a_repository_is_pushed(programs: Programs) -> None:
    kind.run_kind("prod", "registry.example.com/me/gcp-spy")
    words = [words for words, _ in programs.called()]
    tagged = f"registry.example.com/me/gcp-spy:{__version__}-sandbox"
    assert f"docker push {tagged}" in words
    assert not [it for it in words if it.startswith("kind ")]
    (helm,) = (it for it in words if it.startswith("helm"))
    assert tagged.replace(":", ",images.airflow.tag=") in helm
    assert "--kube-context prod" in helm


FOREIGN = json.dumps({"metadata": {"labels": {"kubernetes.io/metadata.name": "gcp-spy"}}})
DOCKER = "error: Cannot connect to the Docker daemon."


@pytest.mark.parametrize(
    ("given", "answer", "sentence"),
    [
        ((), ("docker info", DOCKER), r"^docker info failed: .* daemon\. Start Docker, and try ag"),
        ((), ("current-context", "prod"), "'prod', and .* begins with kind-.*CONTEXT=prod IMAGE="),
        ((), ("current-context", "error: current-context is not set"), "kind create cluster makes"),
        (("staging",), ("", ""), "no context 'staging', only kind-room, prod"),
        (("prod",), ("", ""), "cannot be loaded into 'prod'.* CONTEXT=prod IMAGE=REPOSITORY"),
        ((), ("get namespace", FOREIGN), "a namespace gcp-spy that make kind did not make"),
    ],
)
def test_it_refuses_before_anything_is_made(
    programs: Programs, given: tuple[str, ...], answer: tuple[str, str], sentence: str
) -> None:
    programs.answer(*[answer] if answer[0] else [])
    with pytest.raises(Problem, match=sentence):
        kind.run_kind(*given)
    said = " ".join(words for words, _ in programs.called())
    assert not re.search("create|apply|build|push|load|helm", said)


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    Programs(tmp_path, "docker", "kubectl")
    with pytest.raises(Problem, match="make kind needs the program helm: install it"):
        kind.run_kind()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (("docker build", "error: no space left"), "docker build failed; the reason stands above"),
        (("helm upgrade", "error: timed out"), "helm upgrade failed; the reason stands above"),
        (("list-runs", RUNS.replace("success", "failed")), "gcp_spy, gcp_spy_today failed.* logs"),
    ],
)
def test_a_step_that_fails_is_a_sentence(
    programs: Programs, answer: tuple[str, str], sentence: str
) -> None:
    programs.answer(answer)
    with pytest.raises(Problem, match=sentence):
        kind.run_kind()


def test_the_sandbox_in_a_pod_says_what_arrives(monkeypatch: Any, capfd: Any) -> None:
    told = kind.of_the_spies()
    monkeypatch.setenv(DAG_VARIABLES[0], told[DAG_VARIABLES[0]])
    port, over = unused_port(), threading.Event()
    words = ("127.0.0.1", port, unused_port(), over)
    serving = threading.Thread(target=served.serve, args=words)
    serving.start()
    path = told[DAG_VARIABLES[0]].removeprefix("http://sandbox:8080")
    here = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                answer = requests.post(here + path, json={"text": "from a pod"}, timeout=60)
                break
            except requests.ConnectionError:
                over.wait(0.1)
        assert (answer.status_code, answer.text) == (200, "ok")
        wrong = requests.post(f"{here}{path}x", json={"text": "no"}, timeout=60)
        assert wrong.text == "invalid_token"
        said = ""
        for _ in range(600):
            said += capfd.readouterr().out
            if "from a pod" in said:
                break
            over.wait(0.1)
        assert said == "Slack message, answered 200 ok\nfrom a pod\n\n"
    finally:
        over.set()
        serving.join()


def test_the_ports_are_those_of_the_service() -> None:
    _, service = yaml.safe_load((kind.FOLDER / "sandbox.yaml").read_text("utf-8"))["items"]
    ports = [it["port"] for it in service["spec"]["ports"]]
    assert ports == [served.SLACK_PORT, served.MAIL_PORT]
    told = kind.of_the_spies()
    assert all(f"sandbox:{port}" in str(told) for port in ports)
    assert len(base64.urlsafe_b64decode(kind.of_airflow()["fernet-key"])) == 32


def test_the_image_has_the_sandbox_s_gcloud() -> None:
    done = subprocess.run(
        [kind.FOLDER / "gcloud", "sql", "instances", "list", "--format=json"],
        env={"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"},
        capture_output=True, text=True, cwd=ROOT, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
