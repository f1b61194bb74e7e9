"""The API of an imitated Kubernetes, on loopback, over TLS and with a token.

`imitation.yaml` lists the requests, parameters and fields that it takes. All else is refused with a
Status, as Kubernetes answers: what is not understood is not done.

Whoever can talk to it can start programs, so it listens on loopback, speaks TLS and wants a token.

Sources: https://kubernetes.io/docs/reference/using-api/api-concepts/, and the conventions at
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md.
"""

import base64
import json
import os
import re
import secrets
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonpatch
import kubernetes_validate
import trustme
import yaml

from workshop.cluster.pods import (
    ADDRESS,
    NAMESPACE,
    STAMP,
    Chosen,
    Pod,
    Pods,
    Refused,
    bookmark,
    value_at,
)  # fmt: skip

HERE = Path(__file__).parent


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((HERE / name).read_text(encoding="utf-8"))
    return found


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if not found.tzinfo:
        raise ValueError("RFC 3339 wants a zone")
    return found


TAKEN = _read("imitation.yaml")
READ: dict[str, Callable[[str], Any]] = {
    "text": str,
    "unused": str,
    "number": int,
    "time": _time,
    "yes or no": lambda text: text.lower() not in ("false", "0"),
}
SECONDS_OF_WATCH, LARGEST = 300, 2**31
SET_BY_SERVER = (
    "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "managedFields",
    "resourceVersion", "uid",
)  # fmt: skip
PATCHES = [f"application/{kind}-patch+json" for kind in ("json", "merge", "strategic-merge")]
META = {"apiVersion": "meta.k8s.io/v1"}  # of the forms that are no pods
COLUMNS = [  # of a table: name, and whether it is shown with `--output wide` alone
    ("Name", 0), ("Ready", 0), ("Status", 0), ("Restarts", 0), ("Age", 0), ("IP", 1), ("Node", 1)
]  # fmt: skip
LABEL = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
KEY = rf"([a-z0-9.-]{{1,253}}/)?{LABEL}"
DIRECTIVE = r'"\$[^"\\]*":'  # of a strategic merge patch, in JSON
NAME = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
QUANTITY = r"[+-]?[0-9.]+([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?"


def selector(labels: str, fields: str) -> Chosen:
    """Return a function that says whether a pod fulfils two selectors.

    Args:
        labels: as in the parameter labelSelector: `a=b,c!=d,e in (f, g),h notin (i),j,!k`.
        fields: as in the parameter fieldSelector: `status.phase!=Running,metadata.name=x`.

    Raises:
        Refused: a selector cannot be read (400).
    """
    # Of a label or a field: its key, its values or None for any, and whether it must have one.
    terms: list[tuple[bool, str, set[str] | None, bool]] = []
    for term in filter(None, map(str.strip, re.split(r",(?![^(]*\))", labels))):
        if found := re.fullmatch(r"([\w./-]+)\s+(in|notin)\s+\(([^)]*)\)", term):
            values = {value.strip() for value in found[3].split(",")}
            terms.append((True, found[1], values, found[2] == "in"))
        elif found := re.fullmatch(r"([\w./-]+)\s*(==?|!=)\s*([\w.-]*)", term):
            terms.append((True, found[1], {found[3]}, found[2] != "!="))
        elif found := re.fullmatch(r"(!?)([\w./-]+)", term):
            terms.append((True, found[2], None, not found[1]))
        else:
            raise Refused(400, "BadRequest", f"unable to parse the label selector {term!r}")
    for term in filter(None, fields.split(",")):
        found = re.fullmatch(r"([\w.]+)(==?|!=)(.*)", term)
        if not found or found[1] not in TAKEN["selectable"]:
            raise Refused(400, "BadRequest", f"field selector not supported: {term!r}")
        terms.append((False, found[1], {found[3]}, found[2] != "!="))

    def chosen(pod: Pod) -> bool:
        own = pod["metadata"].get("labels", {})
        for is_label, key, values, wanted in terms:
            value = own.get(key) if is_label else value_at(pod, key)
            if (value is not None if values is None else value in values) != wanted:
                return False
        return True

    return chosen


def _parameters(request: str, query: str) -> dict[str, Any]:
    """Return the parameters of a request, read; raises Refused (400, 422)."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        kind = TAKEN["requests"][request].get(name)
        if kind is None or name in found:
            why = "given twice" if kind else "not known to the imitation"
            raise Refused(400, "BadRequest", f"{request}: the parameter {name!r} is {why}")
        if value:
            _ensure_taken(value, kind, name, request)
            try:
                found[name] = value if isinstance(kind, list) else READ[kind](value)
            except ValueError:
                raise Refused(400, "BadRequest", f"{name}: {value!r} is no {kind}") from None
            if kind == "number" and not 0 <= found[name] < LARGEST:
                raise Refused(422, "Invalid", f"{name}: must be greater than or equal to 0")
    return found


def _ensure_taken(given: Any, taken: Any, where: str, what: str) -> None:
    """Refuse (422) what stands nowhere in a part of the table, unless it is empty.

    Args:
        given: a value with all that is in it.
        taken: the part of the table.
        where: the value's path.
        what: the thing that it is a part of.
    """
    if isinstance(given, list):
        for number, each in enumerate(given):
            _ensure_taken(each, taken, f"{where}[{number}]", what)
    elif isinstance(taken, dict):
        if not isinstance(given, dict):
            raise Refused(400, "BadRequest", f"{what} is invalid: {where}: not an object")
        for key, value in given.items():
            path = f"{where}.{key}".lstrip(".")
            if key in taken:
                _ensure_taken(value, taken[key], path, what)
            elif value not in (None, "", False, [], {}):
                why = f"{what} is invalid: {path}: Forbidden: the imitation does not know it"
                raise Refused(422, "Invalid", why)
    elif isinstance(taken, list) and given not in taken:
        values = ", ".join(f'"{value}"' for value in taken)
        why = (
            f'{what} is invalid: {where}: Unsupported value: "{given}": supported values: {values}'
        )
        raise Refused(422, "Invalid", why)


def _json(raw: bytes, wanted: type) -> Any:
    """Return a body as a dict or a list; raises Refused (400)."""
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, wanted):
        raise Refused(
            400,
            "BadRequest",
            f"the body of the request is no JSON {'object' if wanted is dict else 'array'}",
        )
    return found


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value if each is not None]
    return value


def _ensure_pod(pod: Pod) -> None:
    """Refuse (400, 422) a pod that is none by the schema of Kubernetes, or by its rules."""
    what = f'Pod "{value_at(pod, "metadata.name")}"'
    if (pod.get("apiVersion"), pod.get("kind")) != ("v1", "Pod"):
        raise Refused(
            400, "BadRequest", f"the body of the request is a {pod.get('kind')}, not a Pod"
        )
    try:
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        why = f"{what} is invalid: {error.json_path.removeprefix('$.')}: {error.message}"
        code, reason = (422, "Invalid") if error.validator == "required" else (400, "BadRequest")
        raise Refused(code, reason, why) from None
    meta, spec = pod.get("metadata", {}), pod.get("spec", {})
    container = (spec.get("containers") or [{}])[0]
    resources = container.get("resources", {})
    amounts = resources.get("requests", {}) | resources.get("limits", {})
    rules = {
        "metadata.name: a DNS name": re.fullmatch(NAME, meta.get("name", "")),
        "metadata.labels: names and values of letters, digits, '-', '_', '.', at most 63": all(
            re.fullmatch(KEY, key) and (not value or re.fullmatch(LABEL, value))
            for key, value in meta.get("labels", {}).items()
        ),
        "spec.containers: one, for the imitation": len(spec.get("containers", [])) == 1,
        "spec.terminationGracePeriodSeconds": (
            0 <= spec.get("terminationGracePeriodSeconds", 0) < LARGEST
        ),
        "spec.containers[0].name: a DNS name": re.fullmatch(NAME, container.get("name", "")),
        "spec.containers[0].image: Required value": container.get("image"),
        "spec.containers[0].command, or args: no image is here that has one": (
            container.get("command") or container.get("args")
        ),
        "spec.containers[0].resources: amounts such as 100m or 2Gi": all(
            re.fullmatch(QUANTITY, str(amount)) for amount in amounts.values()
        ),
    }
    if wrong := "; ".join(rule for rule, is_kept in rules.items() if not is_kept):
        raise Refused(422, "Invalid", f"{what} is invalid: {wrong}")


def _patched(old: Pod, media: str, raw: bytes) -> Pod:
    """Return a pod with a patch applied; raises Refused (400, 409, 415, 422)."""
    wanted = list if media == "application/json-patch+json" else dict
    if media not in PATCHES:
        raise Refused(415, "UnsupportedMediaType", f"the imitation takes no patch of type {media}")
    patch = _json(raw, wanted)
    if media == "application/json-patch+json":
        try:
            new = jsonpatch.apply_patch(old, patch)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
            raise Refused(422, "Invalid", f"the JSON patch does not apply: {error}") from None
    else:
        if media.startswith("application/strategic") and re.search(DIRECTIVE, json.dumps(patch)):
            why = "the imitation knows no directives of a strategic merge patch"
            raise Refused(422, "Invalid", why)
        new = _merged(old, patch)
    new = _without_nulls(new)
    was, meta = old["metadata"], new.get("metadata") if isinstance(new, dict) else None
    if not isinstance(meta, dict):
        raise Refused(422, "Invalid", "the patch leaves no Pod")
    for key in ("uid", "resourceVersion"):
        if meta.get(key, was[key]) != was[key]:
            why = "Operation cannot be fulfilled on pods: the object has been modified"
            raise Refused(409, "Conflict", f"{why}: {key} is {was[key]}, not {meta[key]}")
    keys = (meta.keys() | was.keys()) - {"labels", "annotations", *SET_BY_SERVER}
    wrong = [f"metadata.{key}" for key in sorted(keys) if meta.get(key) != was.get(key)]
    if new.get("spec") != old["spec"]:
        wrong.append("spec")
    if wrong:
        why = "Forbidden: the imitation changes labels and annotations alone, and merges no lists"
        raise Refused(422, "Invalid", f'Pod "{was["name"]}" is invalid: {", ".join(wrong)}: {why}')
    _ensure_pod(new)
    kept = {key: meta[key] for key in ("labels", "annotations") if meta.get(key)}
    rest = {key: value for key, value in was.items() if key not in ("labels", "annotations")}
    return old | {"metadata": rest | kept}


def _merged(old: Any, patch: Any) -> Any:
    """Return an object with a merge patch applied (RFC 7386): null takes a key away."""
    if not isinstance(patch, dict):
        return patch
    new = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = _merged(new.get(key), value)
    return new


def _form(accept: str) -> str:
    """Return the form of an answer: a pod is shown as it is, or as a kind; raises Refused (406)."""
    for part in accept.split(","):
        kind, *parameters = map(str.strip, part.split(";"))
        given = dict(it.partition("=")[::2] for it in parameters)
        form = given.get("as", "")
        is_meta = (given.get("g"), given.get("v")) == ("meta.k8s.io", "v1")
        if kind in ("application/json", "application/*", "*/*") and (
            not form
            or (is_meta and form.removesuffix("List") in ("Table", "PartialObjectMetadata"))
        ):
            return form.removesuffix("List")
    raise Refused(406, "NotAcceptable", f"the imitation answers in JSON, not in {accept}")


def _shown(pods: list[Pod], form: str, include: str, meta: dict[str, Any] | None = None) -> Any:
    """Return pods in the form that was asked for.

    Args:
        pods: one, or those of a list.
        form: from `_form`.
        include: what each row of a table has of its pod.
        meta: of the list; without it one pod is meant.
    """
    if form == "Table":
        names = [{"name": name, "type": "string", "format": "name" if name == "Name" else "",
                  "description": "", "priority": wide} for name, wide in COLUMNS]  # fmt: skip
        rows = [{"cells": _cells(pod), "object": _part(pod, include)} for pod in pods]
        meta = meta or {"resourceVersion": pods[0]["metadata"].get("resourceVersion", "")}
        return META | {"kind": form, "metadata": meta, "columnDefinitions": names, "rows": rows}
    parts = [_part(pod, "Metadata" if form else "Object") for pod in pods]
    if meta is None:
        return parts[0]
    head = META | {"kind": f"{form}List"} if form else {"kind": "PodList", "apiVersion": "v1"}
    return head | {"metadata": meta, "items": parts}


def _part(pod: Pod, include: str) -> Pod | None:
    if include == "Object":
        return pod
    partial = META | {"kind": "PartialObjectMetadata", "metadata": pod["metadata"]}
    return partial if include == "Metadata" else None


def _cells(pod: Pod) -> list[str]:
    """Return a pod's row, as `kubectl get pods` prints it."""
    meta, status = pod["metadata"], pod.get("status", {})
    made = datetime.fromisoformat(meta.get("creationTimestamp", "1970-01-01T00:00:00Z"))
    (shown,) = status.get("containerStatuses", [{}])
    (state,) = shown.get("state", {}).values() or [{}]
    seconds = int((datetime.now(UTC) - made).total_seconds())
    age = f"{seconds}s" if seconds < 120 else f"{seconds // 60}m"
    word = "Terminating" if "deletionTimestamp" in meta else state.get("reason")
    return [
        meta.get("name", ""), f"{int(shown.get('ready', False))}/1",
        word or status.get("phase", ""), "0", age,
        status.get("podIP", "<none>"), pod.get("spec", {}).get("nodeName", "<none>"),
    ]  # fmt: skip


class _Server(ThreadingHTTPServer):
    """An HTTP server to which it is no fault that a client has left."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # all that sockets and TLS raise
            super().handle_error(request, client_address)


class PodServer:
    """Serve the API of pods on loopback, with a token, until it is closed.

    Args:
        folder: for the logs of pods and the kubeconfig.
        image: the variables of every container, before its own; its `python` is this one.
        slots: how many pods run at once.
        data: the data of secrets and config maps, as `Pods` takes them.
    """

    def __init__(
        self, folder: Path, image: dict[str, str], slots: int,
        data: dict[str, dict[str, dict[str, str]]] | None = None,
    ) -> None:  # fmt: skip
        programs = f"{Path(sys.executable).parent}{os.pathsep}{image.get('PATH', '')}"
        self.pods = Pods(folder, image | {"PATH": programs}, slots, data or {})
        self.token = secrets.token_urlsafe(24)
        authority = trustme.CA()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(ADDRESS).configure_cert(tls)
        self._server = _Server((ADDRESS, 0), self._handler())
        # The handshake is made by the thread of each request, so that nobody holds up the others.
        self._server.socket = tls.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=self._server.serve_forever, name="pods", daemon=True).start()
        self.address = f"https://{ADDRESS}:{self._server.server_port}"
        self.kubeconfig = folder / "kubeconfig.yaml"
        self.kubeconfig.touch(mode=0o600)
        template = Template((HERE / "kubeconfig.yaml").read_text(encoding="utf-8"))
        trusted = base64.b64encode(authority.cert_pem.bytes()).decode()
        filled = template.substitute(server=self.address, authority=trusted, token=self.token)
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

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):  # each method has its answer, if only a Status
                    return self._handle
                raise AttributeError(name)

            def _handle(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                given = self.headers.get("Authorization", "").encode()
                try:
                    if not secrets.compare_digest(given, f"Bearer {server.token}".encode()):
                        raise Refused(401, "Unauthorized", "Unauthorized")
                    answer = server.answer(self.command, self.path, self.headers, raw)
                except Refused as refused:
                    answer = refused.code, refused.status
                except Exception as error:  # the client hears of it, and the notebook's cell not
                    answer = 500, Refused(500, "InternalError", f"Internal error: {error!r}").status
                self.reply(*answer)

            def send_error(self, code: int, message: str | None = None, *_: Any) -> None:
                """Answer what http.server itself cannot read."""
                self.close_connection = True
                self.reply(code, Refused(code, "BadRequest", message or "").status)

            def reply(self, code: int, body: Any, media: str = "application/json") -> None:
                """Send an answer: an object, or a stream of objects or of texts."""
                content = json.dumps(body).encode() if isinstance(body, dict) else None
                self.send_response(code)
                self.send_header("Content-Type", media)
                if content is None:
                    self.send_header("Transfer-Encoding", "chunked")
                else:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if content is not None:
                    self.wfile.write(b"" if self.command == "HEAD" else content)
                    return
                for each in body:
                    piece = each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n"
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler

    def answer(
        self, method: str, target: str, headers: Message, raw: bytes
    ) -> tuple[int, Any] | tuple[int, Any, str]:
        """Return the answer of a request: its status, its body, and the body's media type.

        Args:
            method: of HTTP.
            target: the path and the query.
            headers: of the request.
            raw: its body.

        Raises:
            Refused: it is not taken, or cannot be done.
        """
        address = urlsplit(target)
        if address.path in DISCOVERY and method == "GET":
            _parameters("GET discovery", address.query)
            return 200, DISCOVERY[address.path]
        way = re.fullmatch(r"/api/v1(/namespaces/([^/]+))?/pods(?:/([^/]+)(/log)?)?", address.path)
        if not way or way[2] not in (None, NAMESPACE):
            raise Refused(
                404, "NotFound", "the imitation knows pods in the namespace default alone"
            )
        request = f"{method} pods{'/NAME' if way[3] else ''}{way[4] or ''}"
        if request not in TAKEN["requests"] or (not way[1] and request != "GET pods"):
            why = f"the imitation does not take {method} {address.path}"
            raise Refused(405, "MethodNotAllowed", why)
        given = _parameters(request, address.query)
        name, dry = way[3], "dryRun" in given
        if request == "GET pods/NAME/log":
            return 200, self._log(name, given), "text/plain"
        form = _form(headers.get("Accept") or "*/*")
        include = given.get("includeObject", "Metadata")
        if request == "GET pods":
            return 200, (self._watch if given.get("watch") else self._list)(given, form, include)
        if request == "POST pods":
            return 201, _shown([self.pods.create(_new_pod(raw), dry)], form, include)
        if request == "PATCH pods/NAME":
            media = headers.get("Content-Type", "").partition(";")[0]
            pod = self.pods.update(name, lambda old: _patched(old, media, raw), dry)
            return 200, _shown([pod], form, include)
        if method == "DELETE":
            body = _json(raw, dict) if raw else {}
            _ensure_taken(body, TAKEN["bodies"]["DeleteOptions"], "", "DeleteOptions")
            given |= body
            grace = given.get("gracePeriodSeconds")
            if not isinstance(grace, int | None) or not 0 <= (grace or 0) < LARGEST:
                raise Refused(400, "BadRequest", f"gracePeriodSeconds: {grace!r} is no time")
            options = grace, given.get("preconditions", {}), bool(given.get("dryRun"))
            if name:
                return 200, _shown([self.pods.delete(name, *options)], form, include)
            with self.pods.changed:
                chosen = _chosen(given)
                pods = filter(chosen, self.pods.at(self.pods.version))
                gone = [self.pods.delete(pod["metadata"]["name"], *options) for pod in pods]
                meta = {"resourceVersion": str(self.pods.version)}
            return 200, _shown(gone, form, include, meta)
        return 200, _shown([self.pods.get(name)], form, include)

    def _log(self, name: str, given: dict[str, Any]) -> Iterator[bytes]:
        """Return the pieces of a pod's log; raises Refused (400, 404, 422)."""
        (container,) = self.pods.get(name)["spec"]["containers"]
        if given.get("container", container["name"]) != container["name"]:
            raise Refused(
                400, "BadRequest", f"container {given['container']} is not valid for pod {name}"
            )
        if given.get("previous"):
            why = f'previous terminated container "{container["name"]}" in pod "{name}" not found'
            raise Refused(400, "BadRequest", why)
        if given.keys() >= {"sinceTime", "sinceSeconds"} or 0 in (
            given.get("sinceSeconds"), given.get("limitBytes")
        ):  # fmt: skip
            why = "sinceSeconds, limitBytes: more than 0; sinceTime: not with sinceSeconds"
            raise Refused(422, "Invalid", why)
        since = given.get("sinceTime")
        if "sinceSeconds" in given:
            since = datetime.now(UTC) - timedelta(seconds=given["sinceSeconds"])
        lines = self.pods.log(
            name, follow=given.get("follow", False), since=since, tail=given.get("tailLines")
        )
        return _cut(lines, 0 if given.get("timestamps") else STAMP, given.get("limitBytes"))

    def _list(self, given: dict[str, Any], form: str, include: str) -> Any:
        """Return a list of pods, or a part of it; raises Refused (400, 410, 422, 504)."""
        chosen, match = _chosen(given), given.get("resourceVersionMatch")
        token = given.get("continue")
        wanted, limit = given.get("resourceVersion", 0), given.get("limit", 0)
        is_exact, after = match == "Exact" or bool(limit and wanted and not match), ""
        if (
            "sendInitialEvents" in given
            or (match and ("resourceVersion" not in given or token))
            or (match == "Exact" and not wanted)
        ):
            why = "resourceVersionMatch or sendInitialEvents: Forbidden with these parameters"
            raise Refused(422, "Invalid", why)
        if token:
            try:
                number, _, after = base64.urlsafe_b64decode(token).decode().partition(" ")
                wanted, is_exact = int(number), True
            except ValueError:
                raise Refused(400, "BadRequest", "continue key is not valid") from None
        with self.pods.changed:
            version = wanted if is_exact else max(wanted, self.pods.version)
            pods = self.pods.at(version)
        pods = [pod for pod in pods if chosen(pod) and pod["metadata"]["name"] > after]
        meta: dict[str, Any] = {"resourceVersion": str(version)}
        if limit and len(pods) > limit:
            last = pods[limit - 1]["metadata"]["name"]
            meta["continue"] = base64.urlsafe_b64encode(f"{version} {last}".encode()).decode()
            if not given.keys() & {"labelSelector", "fieldSelector"}:
                meta["remainingItemCount"] = len(pods) - limit
        return _shown(pods[: limit or None], form, include, meta)

    def _watch(self, given: dict[str, Any], form: str, include: str) -> Iterator[dict[str, Any]]:
        """Return what happens to pods from now on; raises Refused (400, 422, 504)."""
        chosen, bookmarks = _chosen(given), given.get("allowWatchBookmarks", False)
        initial, match = given.get("sendInitialEvents"), given.get("resourceVersionMatch")
        if given.keys() & {"limit", "continue"} or match != (
            None if initial is None else "NotOlderThan"
        ):
            why = "a watch takes sendInitialEvents with resourceVersionMatch=NotOlderThan, no limit"
            raise Refused(422, "Invalid", why)
        end = time.monotonic() + given.get("timeoutSeconds", SECONDS_OF_WATCH)
        with self.pods.changed:
            since, first = given.get("resourceVersion", 0), []
            if initial or (initial is None and not since):  # the state of now, then what happens
                since = max(since, self.pods.version)
                now = filter(chosen, self.pods.at(since))
                first = [{"type": "ADDED", "object": pod} for pod in now]
            since = since or self.pods.version
        if initial and bookmarks:
            first.append(bookmark(since, **{"k8s.io/initial-events-end": "true"}))
        events = chain(first, self.pods.watch(since, chosen, end, bookmarks))

        def shown() -> Iterator[dict[str, Any]]:
            try:
                for event in events:
                    yield event | {"object": _shown([event["object"]], form, include)}
            except Refused as gone:
                yield {"type": "ERROR", "object": gone.status}

        return shown()


def _chosen(given: dict[str, Any]) -> Chosen:
    return selector(given.get("labelSelector", ""), given.get("fieldSelector", ""))


def _new_pod(raw: bytes) -> Pod:
    """Return the pod of a request to create it; raises Refused (400, 422)."""
    pod = {"apiVersion": "v1", "kind": "Pod"} | _without_nulls(_json(raw, dict))
    meta = pod.setdefault("metadata", {})
    if isinstance(meta, dict) and not meta.get("name") and meta.get("generateName"):
        meta["name"] = f"{meta['generateName']}{secrets.token_hex(3)}"
    _ensure_pod(pod)
    if meta.get("resourceVersion"):
        why = "resourceVersion should not be set on objects to be created"
        raise Refused(400, "BadRequest", why)
    pod["spec"] = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30} | pod["spec"]
    _ensure_taken(pod, TAKEN["bodies"]["Pod"], "", f'Pod "{meta["name"]}"')
    kept = {key: value for key, value in meta.items() if key not in (*SET_BY_SERVER, "namespace")}
    new: Pod = pod | {"metadata": kept}
    return new


def _cut(lines: Iterator[bytes], head: int, limit: int | None) -> Iterator[bytes]:
    """Yield lines without their first bytes, until so many bytes are out."""
    for line in lines:
        piece = line[head:][:limit]
        if piece:
            yield piece
        if limit is not None:
            limit -= len(piece)
            if not limit:
                return


def _openapi() -> dict[str, Any]:
    """Return the part of the OpenAPI document by which kubectl knows what the server can do."""
    names = TAKEN["requests"]["PATCH pods/NAME"]
    patch = {
        "parameters": [{"name": it, "in": "query", "schema": {"type": "string"}} for it in names],
        "responses": {},
        "x-kubernetes-group-version-kind": {"group": "", "version": "v1", "kind": "Pod"},
    }
    path = "/api/v1/namespaces/{namespace}/pods/{name}"
    info = {"title": "An imitation of Kubernetes", "version": "v1.37.0"}
    return {
        "openapi": "3.0.0",
        "info": info,
        "components": {"schemas": {}},
        "paths": {path: {"patch": patch}},
    }


DISCOVERY = _read("discovery.yaml") | {"/openapi/v3/api/v1": _openapi()}
