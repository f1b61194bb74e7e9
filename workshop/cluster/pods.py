"""An imitation of a Kubernetes cluster: the API of pods, and a kubelet that runs local processes.

It is no Kubernetes. It knows one kind, Pod, in one namespace, and runs the command of a pod's first
container as a process of this machine, with this machine's files: no image, no isolation, no limits
on memory, no init containers, no volumes, no services, no scheduling beyond a number of slots. What
it does imitate is what a client sees of a pod's life: list, watch, create, patch, delete in two
steps, logs, and the errors 401, 404, 409 and 410 (https://kubernetes.io/docs/reference/using-api/).

Whoever can talk to it can start programs, so it listens on loopback, speaks TLS and wants a token.
"""

import base64
import copy
import json
import os
import re
import secrets
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from itertools import chain
from pathlib import Path
from string import Template
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HERE = Path(__file__).parent
NAMESPACE = "default"
KEPT_EVENTS = 1000  # a watch from before them is answered with 410, as by the real one
Pod = dict[str, Any]
DISCOVERY = yaml.safe_load((HERE / "discovery.yaml").read_text(encoding="utf-8"))


class Refused(Exception):
    """A request that the API answers with an error."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        }  # fmt: skip


def matches(selector: str, labels: dict[str, str]) -> bool:
    """Return whether labels fulfil a label selector.

    Args:
        selector: as in the parameter labelSelector: `a=b,c!=d,e in (f, g),h notin (i),j,!k`.
        labels: of a pod.

    Raises:
        Refused: the selector cannot be read.
    """
    for term in re.split(r",(?![^(]*\))", selector):
        term = term.strip()
        if among := re.fullmatch(r"([\w./-]+)\s+(in|notin)\s+\(([^)]*)\)", term):
            values = {value.strip() for value in among[3].split(",")}
            fulfilled = (labels.get(among[1]) in values) == (among[2] == "in")
        elif equal := re.fullmatch(r"([\w./-]+)\s*(=|==|!=)\s*([\w.-]*)", term):
            fulfilled = (labels.get(equal[1]) == equal[3]) == (equal[2] != "!=")
        elif there := re.fullmatch(r"(!?)([\w./-]+)", term):
            fulfilled = (there[2] in labels) == (not there[1])
        elif not term:
            fulfilled = True
        else:
            raise Refused(400, "BadRequest", f"unable to parse the selector {term!r}")
        if not fulfilled:
            return False
    return True


def _fulfils(labels: str, fields: str, pod: Pod) -> bool:
    """Return whether a pod fulfils a label selector and a field selector.

    Args:
        labels: as `matches` reads it.
        fields: as in the parameter fieldSelector: `status.phase!=Running,metadata.name=x`.
        pod: the pod.
    """
    for term in filter(None, fields.split(",")):
        path, sign, wanted = re.split(r"(!=|==?)", term, maxsplit=1)
        value: Any = pod
        for key in path.split("."):
            value = value.get(key, {}) if isinstance(value, dict) else {}
        if (value == wanted) == (sign == "!="):
            return False
    return matches(labels, pod["metadata"].get("labels", {}))


def merged(old: Any, patch: Any) -> Any:
    """Return an object with a merge patch applied (RFC 7386): null takes a key away."""
    if not isinstance(patch, dict):
        return patch
    new = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = merged(new.get(key), value)
    return new


class Pods:
    """The pods of the imitation, what happened to them, and their processes.

    Args:
        folder: for the logs.
        environment: of every container, before its own variables: it stands for the image.
        slots: how many pods run at once; others are Pending.
    """

    def __init__(self, folder: Path, environment: dict[str, str], slots: int) -> None:
        self.folder = folder
        self.environment = environment
        self.changed = threading.Condition(threading.RLock())
        self.events: list[tuple[int, str, Pod, Pod | None]] = []  # version, type, pod, before
        self._pods: dict[str, Pod] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._version = 0
        self._slots = threading.Semaphore(slots)
        self._closed = False

    @property
    def version(self) -> str:
        return str(self._version)

    def get(self, name: str) -> Pod:
        """Return a pod; raises Refused (404)."""
        with self.changed:
            if name not in self._pods:
                raise Refused(404, "NotFound", f'pods "{name}" not found')
            return self._pods[name]

    def list(self, labels: str, fields: str) -> list[Pod]:
        """Return the pods that fulfil both selectors, by name."""
        with self.changed:
            return [pod for _, pod in sorted(self._pods.items()) if _fulfils(labels, fields, pod)]

    def _store(self, kind: str, name: str, pod: Pod) -> Pod:
        """Keep a new state of a pod as an event, and return it."""
        with self.changed:
            before = self._pods.get(name)
            self._version += 1
            pod = copy.deepcopy(pod)
            pod["metadata"]["resourceVersion"] = self.version
            if kind == "DELETED":
                self._pods.pop(name, None)
            else:
                self._pods[name] = pod
            self.events.append((self._version, kind, pod, before))
            del self.events[:-KEPT_EVENTS]
            self.changed.notify_all()
            return pod

    def create(self, pod: Pod) -> Pod:
        """Create a pod and run it in the background; raises Refused (409, 422)."""
        meta = pod.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + secrets.token_hex(3)
        name = str(meta.get("name", ""))
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", name):
            raise Refused(422, "Invalid", f'Pod "{name}" is invalid: metadata.name')
        if not pod.get("spec", {}).get("containers"):
            raise Refused(422, "Invalid", f'Pod "{name}" is invalid: spec.containers: required')
        with self.changed:
            if name in self._pods:
                raise Refused(409, "AlreadyExists", f'pods "{name}" already exists')
            pod |= {"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Pending"}}
            pod["metadata"] = meta | {
                "namespace": NAMESPACE, "uid": str(uuid.uuid4()), "creationTimestamp": _now()
            }  # fmt: skip
            stored = self._store("ADDED", name, pod)
        threading.Thread(target=self._run, args=(name, stored), name=name, daemon=True).start()
        return stored

    def patch(self, name: str, body: Any) -> Pod:
        """Change a pod by a merge patch or a JSON patch; raises Refused (404, 409, 422)."""
        with self.changed:
            old = self.get(name)
            if isinstance(body, list):
                new = copy.deepcopy(old)
                for step in body:
                    _json_patch(new, step)
            else:
                expected = body.get("metadata", {}).get("resourceVersion")
                if expected not in (None, old["metadata"]["resourceVersion"]):
                    raise Refused(409, "Conflict", f'pods "{name}" has been modified')
                new = merged(old, body)
            if new["metadata"]["name"] != name:
                raise Refused(422, "Invalid", f'Pod "{name}" is invalid: metadata.name: immutable')
            return self._store("MODIFIED", name, new)

    def delete(self, name: str, grace: int | None) -> Pod:
        """Delete a pod: mark it, let its process end, then take it away; raises Refused (404).

        Args:
            name: of the pod.
            grace: seconds until the process is killed; by default the pod's own, else 30.
        """
        with self.changed:
            pod = self.get(name)
            seconds = pod["spec"].get("terminationGracePeriodSeconds", 30)
            seconds = seconds if grace is None else grace
            if "deletionTimestamp" not in pod["metadata"]:
                marks = {"deletionTimestamp": _now(), "deletionGracePeriodSeconds": seconds}
                pod = self._store("MODIFIED", name, merged(pod, {"metadata": marks}))
        threading.Thread(target=self._remove, args=(name, seconds), daemon=True).start()
        return pod

    def _remove(self, name: str, seconds: int) -> None:
        process = self.processes.get(name)
        if process:
            _signal(process, signal.SIGTERM if seconds else signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            _signal(process, signal.SIGKILL)
            end = time.monotonic() + 5
            while name in self.processes and time.monotonic() < end:
                time.sleep(0.02)  # until its last state is stored
        with suppress(Refused):
            self._store("DELETED", name, self.get(name))

    def log(self, name: str) -> Path:
        """Return the file of a pod's log; raises Refused (400, 404)."""
        self.get(name)
        path = self.folder / f"{name}.log"
        if not path.exists():
            raise Refused(400, "BadRequest", f'container in pod "{name}" is waiting to start')
        return path

    def _status(self, name: str, phase: str, state: dict[str, Any]) -> None:
        """Store a pod's phase and its container's state, unless it is gone."""
        with self.changed, suppress(Refused):
            pod = self.get(name)
            first = pod["spec"]["containers"][0]
            status = {
                "phase": phase,
                "containerStatuses": [
                    {"name": first["name"], "image": first.get("image", ""), "imageID": "",
                     "ready": phase == "Running", "restartCount": 0, "state": state}
                ],
            }  # fmt: skip
            self._store("MODIFIED", name, pod | {"status": status})

    def _run(self, name: str, pod: Pod) -> None:
        """Be the kubelet of one pod: wait for a slot, run its command, store how it ended."""
        container = pod["spec"]["containers"][0]
        own = {it["name"]: it["value"] for it in container.get("env", []) if "value" in it}
        words = [*container.get("command", []), *container.get("args", [])]
        with self._slots:
            with self.changed:
                now = self._pods.get(name)
                if self._closed or not now or "deletionTimestamp" in now["metadata"]:
                    return
                environment = self.environment | own | {"GCPSPY_HOST": name, "HOSTNAME": name}
                try:
                    with (self.folder / f"{name}.log").open("wb") as log:
                        process = subprocess.Popen(
                            words, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                            stderr=subprocess.STDOUT, start_new_session=True,
                        )  # fmt: skip
                except OSError as error:
                    ended = {"exitCode": 128, "reason": "StartError", "message": str(error)}
                    self._status(name, "Failed", {"terminated": ended})
                    return
                self.processes[name] = process
                self._status(name, "Running", {"running": {"startedAt": _now()}})
            status = process.wait()
            ended = {"exitCode": status if status >= 0 else 128 - status, "finishedAt": _now(),
                     "reason": "Completed" if status == 0 else "Error"}  # fmt: skip
            self._status(name, "Failed" if status else "Succeeded", {"terminated": ended})
            del self.processes[name]

    def watch(self, since: int, labels: str, fields: str, end: float) -> Iterator[dict[str, Any]]:
        """Yield what happens to pods, from a version on.

        A pod that begins or ceases to fulfil the selectors is ADDED or DELETED for this watch.

        Args:
            since: the resourceVersion after which to begin.
            labels: a label selector.
            fields: a field selector.
            end: when to stop, of `time.monotonic()`.
        """
        while True:
            with self.changed:
                while self._version <= since and not self._closed and time.monotonic() < end:
                    self.changed.wait(0.5)
                if self._closed or time.monotonic() >= end:
                    return
                if self.events and since < self.events[0][0] - 1:
                    gone = Refused(410, "Expired", f"too old resource version: {since}")
                    yield {"type": "ERROR", "object": gone.status}
                    return
                news = [event for event in self.events if event[0] > since]
            for version, kind, pod, before in news:
                since = version
                now = _fulfils(labels, fields, pod)
                was = before is not None and _fulfils(labels, fields, before)
                if kind == "DELETED" and now:
                    yield {"type": "DELETED", "object": pod}
                elif kind != "DELETED" and (now or was):
                    kind = "MODIFIED" if now and was else "ADDED" if now else "DELETED"
                    yield {"type": kind, "object": pod}

    def close(self) -> None:
        """End every watch and every process."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()
            for process in self.processes.values():
                _signal(process, signal.SIGKILL)


def _json_patch(target: Any, step: dict[str, Any]) -> None:
    """Apply one step of a JSON patch (RFC 6902): add, replace or remove."""
    *way, last = [key.replace("~1", "/").replace("~0", "~") for key in step["path"].split("/")[1:]]
    for key in way:
        target = target.setdefault(key, {})
    if step["op"] == "remove":
        target.pop(last, None)
    elif step["op"] in ("add", "replace"):
        target[last] = step["value"]
    else:
        raise Refused(422, "Invalid", f"the operation {step['op']} is not known here")


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Server(ThreadingHTTPServer):
    """An HTTP server to which it is no fault that a client has left."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)


class PodServer:
    """Serve the API of pods on loopback, with a token, until it is closed.

    Args:
        folder: for the logs of pods and the kubeconfig.
        environment: of every container; its `python` is this one.
        slots: how many pods run at once.
    """

    def __init__(self, folder: Path, environment: dict[str, str], slots: int) -> None:
        programs = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
        self.pods = Pods(folder, environment | {"PATH": programs}, slots)
        self.token = secrets.token_urlsafe(24)
        certificate = folder / "server.pem"
        authority = _certify(certificate)
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        # The handshake is made by the thread of each request, so that nobody holds up the others.
        self._server.socket = tls.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=self._server.serve_forever, name="pods", daemon=True).start()
        self.address = f"https://127.0.0.1:{self._server.server_port}"
        self.kubeconfig = folder / "kubeconfig.yaml"
        self.kubeconfig.touch(mode=0o600)
        template = Template((HERE / "kubeconfig.yaml").read_text(encoding="utf-8"))
        filled = template.substitute(server=self.address, authority=authority, token=self.token)
        self.kubeconfig.write_text(filled, encoding="utf-8")

    def close(self) -> None:
        """End the server and every process that it started."""
        self.pods.close()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(length)
                address = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(address.query))
                given = self.headers.get("Authorization", "").encode()
                try:
                    if not secrets.compare_digest(given, f"Bearer {server.token}".encode()):
                        raise Refused(401, "Unauthorized", "Unauthorized")
                    body = json.loads(raw) if raw else None
                    self.reply(*server.answer(self.command, address.path, query, body))
                except Refused as refused:
                    self.reply(refused.code, refused.status)
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    self.reply(400, Refused(400, "BadRequest", repr(error)).status)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            do_GET = do_POST = do_PATCH = do_DELETE = _handle

            def reply(self, code: int, body: Any) -> None:
                is_log = isinstance(body, bytes)
                self.send_response(code)
                self.send_header("Content-Type", "text/plain" if is_log else "application/json")
                if isinstance(body, Iterator):
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for event in body:
                        line = json.dumps(event).encode() + b"\n"
                        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                        self.wfile.flush()
                    self.wfile.write(b"0\r\n\r\n")
                else:
                    content = body if is_log else json.dumps(body).encode()
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Return status and body of the answer: an object, events, or a log; raises Refused."""
        if path in DISCOVERY:
            return 200, DISCOVERY[path]
        found = re.fullmatch(rf"/api/v1(?:/namespaces/{NAMESPACE})?/pods(?:/([^/]+)(/log)?)?", path)
        if not found:
            raise Refused(404, "NotFound", "the imitation knows pods in the namespace default")
        name, log = found.groups()
        if log and method == "GET":
            lines = self.pods.log(name).read_bytes().splitlines(keepends=True)
            return 200, b"".join(lines[-int(query.get("tailLines") or len(lines)) :])
        if name:
            grace = query.get("gracePeriodSeconds", (body or {}).get("gracePeriodSeconds")
                              if isinstance(body, dict) else None)  # fmt: skip
            actions: dict[str, Callable[[], Pod]] = {
                "GET": lambda: self.pods.get(name),
                "PATCH": lambda: self.pods.patch(name, body),
                "DELETE": lambda: self.pods.delete(name, None if grace is None else int(grace)),
            }
            if method not in actions:
                raise Refused(405, "MethodNotAllowed", method)
            return 200, actions[method]()
        if method == "POST":
            return 201, self.pods.create(body)
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        if query.get("watch") in ("true", "True", "1"):
            return 200, self._events(query, labels, fields)
        with self.pods.changed:
            return 200, {
                "kind": "PodList",
                "apiVersion": "v1",
                "metadata": {"resourceVersion": self.pods.version},
                "items": self.pods.list(labels, fields),
            }

    def _events(self, query: dict[str, str], labels: str, fields: str) -> Iterator[dict[str, Any]]:
        """Return what a watch tells; raises Refused."""
        end = time.monotonic() + float(query.get("timeoutSeconds") or 300)
        since = int(query.get("resourceVersion") or 0)
        matches(labels, {})  # a wrong selector is refused before the stream begins
        now: list[dict[str, Any]] = []
        if since == 0:  # the state of now first, then what happens
            with self.pods.changed:
                since = int(self.pods.version)
                now = [{"type": "ADDED", "object": it} for it in self.pods.list(labels, fields)]
        return chain(now, self.pods.watch(since, labels, fields, end))


def _certify(path: Path) -> str:
    """Write a key and a certificate for 127.0.0.1; return the certificate as kubeconfig has it.

    Clients written in Go, kubectl among them, send a token over TLS only.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "imitation")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=7))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    path.touch(mode=0o600)
    path.write_bytes(
        certificate
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return base64.b64encode(certificate).decode()
