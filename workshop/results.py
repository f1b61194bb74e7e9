"""What a headless run leaves for its test: each DagRun, and what had arrived after it, as JSON."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from workshop import sandbox, show
from workshop.lab import current


def add(path: Path) -> None:
    """Append the newest DagRun of this process to a JSON list.

    Args:
        path: the file; made when it is not there.
    """
    results: list[Any] = json.loads(path.read_text("utf-8")) if path.exists() else []
    with closing(sqlite3.connect(current().database)) as connection:
        found = connection.execute(
            "select dag_id, run_id, state from dag_run order by id desc limit 1"
        ).fetchone()
    if not found:
        return
    run = SimpleNamespace(dag_id=found[0], run_id=found[1])
    states, values = show.tasks(run), show.xcoms(run)
    results.append(
        {
            "state": found[2],
            "tasks": dict(zip(states["task"], states["state"], strict=True)),
            "xcoms": [
                {"task_id": task, "key": key, "value": value}
                for task, key, value in zip(
                    values["task"], values["key"], values["value"], strict=True
                )
            ],
            **sandbox.received(),
        }
    )
    path.write_text(json.dumps(results, indent=1), encoding="utf-8")
