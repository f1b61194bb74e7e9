"""Where processes listen."""

import sys
from typing import Any

import psutil


def listening(tree: list[Any]) -> set[tuple[str, int]]:
    """Return the addresses and ports that processes listen on.

    Airflow hides the sockets of some of its processes from other processes of the same user: what
    nobody can be named for counts too, so take away what was there before. macOS names all.

    Args:
        tree: the processes.
    """
    if sys.platform == "darwin":
        found = [entry for process in tree for entry in process.net_connections("inet")]
    else:
        ours = {None, *(process.pid for process in tree)}
        found = [entry for entry in psutil.net_connections("inet") if entry.pid in ours]
    return {(e.laddr.ip, e.laddr.port) for e in found if e.status == psutil.CONN_LISTEN}
