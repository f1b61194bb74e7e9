"""End the processes of an Airflow when whoever started them goes, however it goes.

Run as a process of its own, with the home of that Airflow as argument. It reads the ids of
processes, a line each, until the other end closes the pipe or dies; then it ends those processes,
all that they started and all that have this home, and removes the home. So a killed kernel leaves
nothing running.
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress

import psutil

SECONDS_TO_STOP = 15


def main() -> None:
    """Wait for the end of stdin, then end everything."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    home, started = sys.argv[1], []
    for line in sys.stdin:
        with suppress(psutil.NoSuchProcess):
            started.append(psutil.Process(int(line)))  # remembers when it began: ids are used again
    everything = set(started) | _of_home(home)
    for process in started:
        with suppress(psutil.NoSuchProcess):
            everything |= set(process.children(recursive=True))
    # The last first: the databases outlive those who use them.
    for process in reversed(started):
        with suppress(psutil.Error, OSError):
            if process.is_running():
                fast = "postgres" in process.name()  # its SIGTERM waits for all connections
                os.killpg(process.pid, signal.SIGINT if fast else signal.SIGTERM)
    end = time.monotonic() + SECONDS_TO_STOP
    while time.monotonic() < end and any(map(alive, everything)):
        time.sleep(0.05)
    for process in set(filter(alive, everything)) | _of_home(home):
        with suppress(psutil.Error):
            process.kill()
    shutil.rmtree(home, ignore_errors=True)


def alive(process: psutil.Process) -> bool:
    """Return whether a process runs; one that only waits for its parent to take note does not."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _of_home(home: str) -> set[psutil.Process]:
    """Return the processes whose AIRFLOW_HOME this is."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("AIRFLOW_HOME") == home:
                found.add(process)
    return found


if __name__ == "__main__":
    main()
