"""The pods of an imitated Kubernetes: what is stored of them, and a kubelet of local processes.

A pod's one container is a process of this machine, with this machine's files: no image, no
isolation, no limits on memory, no scheduling beyond a number of slots. Its variables are those of
what stands for the image, and those that its spec names; nothing else is handed to it.

Sources: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ and, for versions and
watches, https://kubernetes.io/docs/reference/using-api/api-concepts/.
"""

import copy
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, TextIO

NAMESPACE, NODE, ADDRESS = "default", "imitation", "127.0.0.1"
KEPT_EVENTS = 1000  # a watch from before them is answered with 410, as by the real one
STAMP = 31  # bytes: each line of a log begins with its time, to the nanosecond, and a blank
Pod = dict[str, Any]
Event = tuple[int, str, Pod, Pod | None]  # version, type, pod, the pod before
Chosen = Callable[[Pod], bool]


class Refused(Exception):
    """A request that the API answers with an error, in the form of a Status."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        }  # fmt: skip


def value_at(pod: Pod, path: str) -> str:
    """Return what a pod has at a path such as `status.phase`; an empty text for nothing."""
    value: Any = pod
    for key in path.split("."):
        value = value.get(key, "") if isinstance(value, dict) else ""
    return str(value)


class Pods:
    """The pods of the imitation, what happened to them, and their processes.

    What is asked of it was found valid before.

    Args:
        folder: for the logs.
        image: the variables of every container, before its own: they stand for the image.
        slots: how many pods run at once; others are Pending.
        data: the data of the secrets and config maps that a spec may name, by `secret` or
            `configMap`, and by name.
    """

    def __init__(
        self, folder: Path, image: dict[str, str], slots: int,
        data: dict[str, dict[str, dict[str, str]]],
    ) -> None:  # fmt: skip
        self.folder = folder
        self.image = image
        self.data = data
        self.changed = threading.Condition(threading.RLock())
        self.events: list[Event] = []
        self.version = 0
        self._pods: dict[str, Pod] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._slots = threading.Semaphore(slots)
        self._closed = False

    def get(self, name: str) -> Pod:
        """Return a pod; raises Refused (404)."""
        with self.changed:
            if name not in self._pods:
                raise Refused(404, "NotFound", f'pods "{name}" not found')
            return self._pods[name]

    def at(self, version: int) -> list[Pod]:
        """Return the pods as they were at a version, by name; raises Refused (410, 504)."""
        with self.changed:
            if version > self.version:
                raise Refused(504, "Timeout", f"Too large resource version: {version}")
            pods = dict(self._pods)
            for _, _, pod, before in reversed(self._since(version)):
                pods.pop(pod["metadata"]["name"], None)
                if before:
                    pods[before["metadata"]["name"]] = before
        return [pod for _, pod in sorted(pods.items())]

    def _since(self, version: int) -> list[Event]:
        """Return what happened after a version; raises Refused (410)."""
        if self.events and version < self.events[0][0] - 1:
            raise Refused(410, "Expired", f"too old resource version: {version}")
        return [event for event in self.events if event[0] > version]

    def _store(self, kind: str, pod: Pod) -> Pod:
        """Keep a new state of a pod as an event, and return it."""
        with self.changed:
            name = pod["metadata"]["name"]
            before = self._pods.pop(name, None)
            self.version += 1
            pod = copy.deepcopy(pod)
            pod["metadata"]["resourceVersion"] = str(self.version)
            if kind != "DELETED":
                self._pods[name] = pod
            self.events.append((self.version, kind, pod, before))
            del self.events[:-KEPT_EVENTS]
            self.changed.notify_all()
            return pod

    def create(self, pod: Pod, dry: bool = False) -> Pod:
        """Create a pod and run it in the background.

        Args:
            pod: its metadata and spec; the rest is the server's.
            dry: only return what would be stored.

        Raises:
            Refused: there is one with this name (409).
        """
        name = pod["metadata"]["name"]
        own = {"namespace": NAMESPACE, "uid": str(uuid.uuid4()), "creationTimestamp": _now()}
        new = pod | {"metadata": pod["metadata"] | own, "status": {"phase": "Pending"}}
        with self.changed:
            if name in self._pods:
                raise Refused(409, "AlreadyExists", f'pods "{name}" already exists')
            if dry:
                return new
            new = self._store("ADDED", new)
        threading.Thread(target=self._run, args=(new,), name=name, daemon=True).start()
        return new

    def update(self, name: str, change: Callable[[Pod], Pod], dry: bool = False) -> Pod:
        """Change a pod; raises Refused (404), and what `change` raises.

        Args:
            name: of the pod.
            change: returns the new state from the old one.
            dry: only return the new state.
        """
        with self.changed:
            old = self.get(name)
            new = change(old)
            return new if dry or new == old else self._store("MODIFIED", new)

    def delete(
        self, name: str, grace: int | None, expected: dict[str, str], dry: bool = False
    ) -> Pod:
        """Delete a pod: mark it, let its process end, then take it away.

        Args:
            name: of the pod.
            grace: seconds until the process is killed; by default the pod's own.
            expected: what its metadata must hold: `uid`, `resourceVersion`.
            dry: only return the pod.

        Raises:
            Refused: there is no such pod (404), or it is another one (409).
        """
        with self.changed:
            pod = self.get(name)
            for key, value in expected.items():
                if pod["metadata"][key] != value:
                    why = f"Precondition failed: {key} is {pod['metadata'][key]}, not {value}"
                    raise Refused(409, "Conflict", why)
            seconds = pod["spec"]["terminationGracePeriodSeconds"] if grace is None else grace
            if name not in self.processes:
                seconds = 0
            if not dry and seconds < pod["metadata"].get("deletionGracePeriodSeconds", seconds + 1):
                until = datetime.now(UTC) + timedelta(seconds=seconds)
                marks = {"deletionTimestamp": _now(until), "deletionGracePeriodSeconds": seconds}
                pod = self._store("MODIFIED", pod | {"metadata": pod["metadata"] | marks})
        if not dry:
            threading.Thread(target=self._remove, args=(pod, seconds), daemon=True).start()
        return pod

    def _remove(self, pod: Pod, seconds: int) -> None:
        name = pod["metadata"]["name"]
        if process := self.processes.get(name):
            _signal(process, signal.SIGTERM if seconds else signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            _signal(process, signal.SIGKILL)
        with self.changed:
            # Until its last state is stored.
            self.changed.wait_for(lambda: name not in self.processes, 5)
            if now := self._same(pod):
                self._store("DELETED", now)

    def _same(self, pod: Pod) -> Pod | None:
        """Return the state of now of a pod, unless it is gone, or another has its name."""
        now = self._pods.get(pod["metadata"]["name"])
        return now if now and now["metadata"]["uid"] == pod["metadata"]["uid"] else None

    def _status(self, pod: Pod, phase: str, state: dict[str, Any], why: str = "") -> None:
        """Store a pod's phase and its container's state, unless the pod is gone.

        Args:
            pod: in any state.
            phase: the new one.
            state: of the container: waiting, running or terminated.
            why: the reason for which the container is not ready.
        """
        now = self._same(pod)
        if not now:
            return
        before = {it["type"]: it for it in now["status"].get("conditions", [])}
        conditions = []
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready"):
            new = {"type": kind, "status": "True", "lastTransitionTime": _now()}
            if why and kind.endswith("Ready"):
                new |= {"status": "False", "reason": why}
            same = before.get(kind, new)["status"] == new["status"]
            conditions.append(before.get(kind, new) if same else new)
        (container,) = now["spec"]["containers"]
        shown = {"name": container["name"], "image": container["image"], "imageID": "",
                 "ready": not why, "restartCount": 0, "state": state}  # fmt: skip
        status = {
            "phase": phase, "conditions": conditions, "hostIP": ADDRESS, "podIP": ADDRESS,
            "startTime": now["status"].get("startTime", _now()), "containerStatuses": [shown],
        }  # fmt: skip
        spec = now["spec"] | {"nodeName": NODE}
        self._store("MODIFIED", now | {"spec": spec, "status": status})

    def _run(self, pod: Pod) -> None:
        """Be the kubelet of one pod: wait for a slot, run its command, store how it ended."""
        name = pod["metadata"]["name"]
        with self._slots:
            with self.changed:
                now = self._same(pod)
                if self._closed or not now or "deletionTimestamp" in now["metadata"]:
                    return
                try:
                    process, pump = self._start(now)
                except LookupError as error:
                    waits = {"reason": "CreateContainerConfigError", "message": str(error.args[0])}
                    self._status(pod, "Pending", {"waiting": waits}, "ContainersNotReady")
                    return
                except (OSError, ValueError) as error:  # the latter for a null character
                    ended = {"exitCode": 128, "reason": "StartError", "message": str(error)}
                    self._status(pod, "Failed", {"terminated": ended}, "PodFailed")
                    return
                self.processes[name] = process
                begun = _now()
                self._status(pod, "Running", {"running": {"startedAt": begun}})
            status = process.wait()
            _signal(process, signal.SIGKILL)  # a container ends with its first process
            pump.join(5)
            ended = {
                "exitCode": status if status >= 0 else 128 - status,
                "reason": "Error" if status else "Completed",
                "startedAt": begun,
                "finishedAt": _now(),
            }
            phase = "Failed" if status else "Succeeded"
            why = "PodFailed" if status else "PodCompleted"
            with self.changed:
                self._status(pod, phase, {"terminated": ended}, why)
                del self.processes[name]
                self.changed.notify_all()

    def _start(self, pod: Pod) -> tuple[subprocess.Popen[bytes], threading.Thread]:
        """Start a pod's command, and what keeps its log.

        Raises:
            LookupError: a secret or a config map is not there.
            OSError, ValueError: the command cannot be started.
        """
        (container,) = pod["spec"]["containers"]
        own = self._variables(pod, container)
        name = pod["metadata"]["name"]
        words = [*container.get("command", []), *container.get("args", [])]
        words = [_expanded(word, own) for word in words]
        log = self._log_of(pod).open("wb", buffering=0)
        try:
            with tempfile.TemporaryFile("w+", encoding="utf-8", dir=self.folder) as workload:
                process = subprocess.Popen(
                    _without_workload(words, workload), pass_fds=[workload.fileno()],
                    env=self.image | {"HOSTNAME": name, "GCPSPY_HOST": name} | own,
                    cwd=container.get("workingDir", self.folder), start_new_session=True,
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                )  # fmt: skip
        except BaseException:
            log.close()
            raise
        pump = threading.Thread(target=self._keep_log, args=(process, log), daemon=True)
        pump.start()
        return process, pump

    def _log_of(self, pod: Pod) -> Path:
        return self.folder / f"{pod['metadata']['uid']}.log"

    def _variables(self, pod: Pod, container: dict[str, Any]) -> dict[str, str]:
        """Return the variables that a container's spec names; raises LookupError."""
        own: dict[str, str] = {}
        for source in container.get("envFrom", []):
            for kind in source.keys() - {"prefix"}:
                found = self._data(kind, source[kind]).items()
                own |= {source.get("prefix", "") + key: value for key, value in found}
        for variable in container.get("env", []):
            value: str | None = _expanded(variable.get("value", ""), own)
            for kind, ref in variable.get("valueFrom", {}).items():
                if kind == "fieldRef":
                    value = value_at(pod, ref["fieldPath"])
                else:
                    value = self._data(kind, ref).get(ref["key"])
                    if value is None and not ref.get("optional"):
                        raise LookupError(f"{ref['name']} has no key {ref['key']}")
            if value is not None:
                own[variable["name"]] = value
        return own

    def _data(self, kind: str, ref: dict[str, Any]) -> dict[str, str]:
        """Return the data of a secret or a config map; raises LookupError."""
        kind = kind.removesuffix("Ref").removesuffix("Key")
        found = self.data.get(kind, {}).get(ref["name"])
        if found is None and not ref.get("optional"):
            raise LookupError(f'{kind.lower()} "{ref["name"]}" not found')
        return found or {}

    def _keep_log(self, process: subprocess.Popen[bytes], log: BinaryIO) -> None:
        """Write what a process prints to its pod's log, each line with its time."""
        assert process.stdout
        with process.stdout, log:
            for line in process.stdout:
                with self.changed:
                    log.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z ".encode() + line)

    def log(
        self, name: str, *, follow: bool, since: datetime | None, tail: int | None
    ) -> Iterator[bytes]:
        """Return the lines of a pod's log, each with STAMP bytes for its time.

        Args:
            name: of the pod.
            follow: go on until the pod has ended.
            since: leave out what is older.
            tail: how many lines of those that are there to begin with; by default all.

        Raises:
            Refused: there is no such pod (404), or its container has not begun (400).
        """
        try:
            log = self._log_of(self.get(name)).open("rb")
        except FileNotFoundError:
            why = f'container in pod "{name}" is waiting to start'
            raise Refused(400, "BadRequest", why) from None
        oldest = f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}".encode() if since else b""

        def lines() -> Iterator[bytes]:
            left = tail
            with log:
                while True:
                    with self.changed:
                        goes_on = follow and name in self.processes and not self._closed
                        new = [line for line in log if line >= oldest]
                    yield from deque(new, left)
                    left = None
                    if not goes_on:
                        return
                    time.sleep(0.1)

        return lines()

    def watch(
        self, since: int, chosen: Chosen, end: float, bookmarks: bool
    ) -> Iterator[dict[str, Any]]:
        """Yield what happens to pods, from a version on.

        A pod that begins or ceases to be chosen is ADDED or DELETED for this watch.

        Args:
            since: the resourceVersion after which to begin.
            chosen: says which pods are watched.
            end: when to stop, of `time.monotonic()`.
            bookmarks: say at the end which version was reached.

        Raises:
            Refused: what came after `since` is forgotten (410).
        """
        while True:
            with self.changed:
                while self.version <= since and not self._closed and time.monotonic() < end:
                    self.changed.wait(0.5)
                if self._closed or time.monotonic() >= end:
                    break
                news = self._since(since)
            for version, kind, pod, before in news:
                since = version
                now, was = kind != "DELETED" and chosen(pod), before is not None and chosen(before)
                if now or was:
                    kind = "MODIFIED" if now and was else "ADDED" if now else "DELETED"
                    yield {"type": kind, "object": pod}
        if bookmarks:
            yield bookmark(since)

    def close(self) -> None:
        """End every watch and every process."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()
            for process in self.processes.values():
                _signal(process, signal.SIGKILL)


def bookmark(version: int, **annotations: str) -> dict[str, Any]:
    """Return the event that says which version a watch has reached."""
    meta = {"resourceVersion": str(version), "annotations": annotations}
    return {"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1", "metadata": meta}}


def _expanded(text: str, variables: dict[str, str]) -> str:
    """Return a word with the values of `$(NAME)`; `$$(NAME)` stands for the text `$(NAME)`."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else variables.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([\w.-]+)\)", value, text)


def _without_workload(words: list[str], workload: TextIO) -> list[str]:
    """Return a command line in which Airflow's order to run a task is read from a file.

    The order has the task's token in it. Around a container nobody sees a command line; here each
    user of the machine does. Source: `airflow.sdk.execution_time.execute_workload`, which takes
    `--json-string ORDER` and `--json-path FILE`.

    Args:
        words: of any program.
        workload: an empty file without a name, which the order is written to.
    """
    if "airflow.sdk.execution_time.execute_workload" not in words or "--json-string" not in words:
        return words
    at = words.index("--json-string")
    workload.write(words[at + 1])
    workload.seek(0)
    return [*words[:at], "--json-path", f"/dev/fd/{workload.fileno()}", *words[at + 2 :]]


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _now(at: datetime | None = None) -> str:
    return (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
