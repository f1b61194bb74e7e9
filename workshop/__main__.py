"""The commands behind the Makefile, and those for a working copy: `workshop COMMAND`."""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from workshop import lab
from workshop.problem import Problem

PARSER = argparse.ArgumentParser(prog="workshop", description=__doc__)
COMMANDS = PARSER.add_subparsers(dest="command", required=True)


def command(*arguments: tuple[str, dict[str, Any]]) -> Any:
    """Make a function a command of its name, with these arguments of argparse."""

    def register(function: Any) -> Any:
        parser = COMMANDS.add_parser(
            function.__name__.strip("_").replace("_", "-"), help=function.__doc__
        )
        for name, options in arguments:
            parser.add_argument(name, **options)
        parser.set_defaults(run=function)
        return function

    return register


FOLDER = ("--folder", {"type": Path, "default": lab.ROOT / "work", "help": "the working copy"})


@command()
def prepare(chosen: Any) -> int:
    """make what every notebook starts from: the metadata database, matplotlib's list of fonts"""
    print("Preparing Airflow's metadata database.", flush=True)
    lab.prepared_database()
    os.environ["MPLCONFIGDIR"] = str(lab.BUILD / "matplotlib")
    import matplotlib.font_manager  # noqa: F401  (writes its cache at import)

    return 0


@command(FOLDER)
def lab_(chosen: Any) -> int:
    """open JupyterLab on a working copy of the notebooks"""
    from workshop import workcopy

    folder = workcopy.make(chosen.folder.resolve())
    print(
        f"Your copy of the notebooks is the folder {folder.name}; it is never overwritten.",
        flush=True,
    )
    os.execv(sys.executable, _jupyterlab(folder, "lab/tree/00_index.ipynb", large=False))


@command(("slide", {"type": int, "help": "where the talk begins or goes on"}), FOLDER)
def present(chosen: Any) -> int:
    """open JupyterLab for a stage: one notebook, large type, at a slide; and write the notes"""
    from workshop import editions, workcopy

    page = workcopy.stage(chosen.slide, workcopy.make(chosen.folder.resolve()))
    print(f"Your notes, slide by slide: {editions.notes()}#slide-{chosen.slide}")
    print("When a live cell fails, put stored() into the next one.", flush=True)
    os.execv(sys.executable, _jupyterlab(page.parent, f"doc/tree/{page.name}", large=True))


def _jupyterlab(folder: Path, page: str, *, large: bool) -> list[str]:
    """Write JupyterLab's settings, and return its command line."""
    from workshop import headless, workcopy

    os.environ.update(headless.own_folders())
    if large:
        os.environ["JUPYTERLAB_SETTINGS_DIR"] += "-large"
    workcopy.settings(Path(os.environ["JUPYTERLAB_SETTINGS_DIR"]), large=large)
    return [sys.executable, "-m", "jupyterlab", *workcopy.lab_options(folder, page)]


@command(("folder", {"type": Path, "help": "a new folder"}))
def start(chosen: Any) -> int:
    """make another working copy of the notebooks"""
    from workshop import workcopy

    folder = workcopy.make(chosen.folder.resolve())
    print(f"The notebooks are in {folder}. Open them: .venv/bin/workshop lab --folder '{folder}'")
    return 0


@command(("slide", {"type": int, "help": "where you want to go on"}), FOLDER)
def catch_up(chosen: Any) -> int:
    """write, beside your notebook, one that is ready to go on at a slide"""
    from workshop import workcopy

    path = workcopy.catch_up(chosen.slide, workcopy.make(chosen.folder.resolve()))
    print(f"Open {path.name}: it goes on at slide {chosen.slide}. Your own notebook is as it was.")
    return 0


@command(("notebook", {"help": "for example 04_slack"}), FOLDER)
def reset(chosen: Any) -> int:
    """put the workbook's notebook back, and keep your version under another name"""
    from workshop import workcopy

    kept = workcopy.reset(chosen.notebook, workcopy.make(chosen.folder.resolve()))
    print(f"The notebook is the workbook's again; yours is {kept.name}, if there was one.")
    return 0


@command()
def check(chosen: Any) -> int:
    """run every check"""
    return subprocess.call([sys.executable, "-m", "pytest"], cwd=lab.ROOT)


@command()
def check_browser(chosen: Any) -> int:
    """drive JupyterLab in a headless Chromium as a person would"""
    from workshop import browser

    browser.install()
    return browser.run()


@command()
def executors(chosen: Any) -> int:
    """install what the executors' notebooks need beyond set-up, once"""
    from workshop import cluster

    cluster.executors_ready()
    print("The executors' packages are here.")
    return 0


@command()
def check_executors(chosen: Any) -> int:
    """run the notebooks with clusters, and the tests of what they start"""
    executors(chosen)
    from workshop import talk

    notebooks = [str(talk.notebook_path(name)) for name in talk.WITH_CLUSTERS]
    tests = str(lab.ROOT / "workshop" / "tests" / "executors.py")
    os.environ["WORKSHOP_EXECUTORS"] = "1"
    words = [
        sys.executable,
        "-m",
        "pytest",
        "--numprocesses=0",
        "--verbose",
    ]
    words += [tests, *notebooks]
    return subprocess.call(words, cwd=lab.ROOT)


@command()
def composer_bundle(chosen: Any) -> int:
    """prepare and check what would be uploaded to a managed Airflow"""
    from workshop import composer

    print(f"Look into {composer.bundle()}")
    return 0


@command()
def demo(chosen: Any) -> int:
    """run the gcp_spy notebooks headless, and make the page of what arrived"""
    from workshop import demo as demonstration
    from workshop import headless

    headless.force_sandbox()
    print(f"Open this page: {demonstration.run()}")
    return 0


@command()
def rehearse(chosen: Any) -> int:
    """run the whole talk headless, and print its times beside the plan's"""
    from workshop import rehearse as rehearsal

    rehearsal.cut_network()
    return 0 if rehearsal.run() else 1


@command()
def blank(chosen: Any) -> int:
    """write the notebooks for a room: no outputs, no solutions"""
    from workshop import workcopy

    made = workcopy.blank(lab.BUILD / "blank")
    print(f"{len(made)} notebooks without outputs and solutions: {lab.BUILD / 'blank'}")
    return 0


@command()
def site(chosen: Any) -> int:
    """write the notebooks as static HTML that works from disk"""
    from workshop import editions

    print(f"Open this page: {editions.site()}")
    return 0


@command()
def dags(chosen: Any) -> int:
    """write dags/gcp_spy.py, the index and the README's table from the notebooks"""
    from workshop import record as recording

    for path in recording.write_generated():
        print(f"written: {path.relative_to(lab.ROOT)}")
    return 0


@command()
def record(chosen: Any) -> int:
    """run the notebooks in place and store their outputs, after writing what is generated"""
    from workshop import headless
    from workshop import record as recording
    from workshop.slides import NOTEBOOKS

    headless.force_sandbox()
    executors(chosen)
    dags(chosen)
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        changed = recording.record(path)
        print(f"{'recorded' if changed else 'as it was'}: {path.relative_to(lab.ROOT)}", flush=True)
    return 0


@command()
def airflow(chosen: Any) -> int:
    """run a real Airflow with its UI on dags/, beside the sandbox, until Ctrl-C"""
    from workshop import headless, server

    headless.force_sandbox()
    server.run()
    return 0


@command()
def bench(chosen: Any) -> int:
    """measure what the workbook costs beside bare Airflow (about twenty minutes)"""
    from workshop import bench as benchmark

    benchmark.run()
    return 0


@command()
def bench_executors(chosen: Any) -> int:
    """let the same DAGs run on dag.test() and on three executors (about four minutes)"""
    executors(chosen)
    from workshop import race

    race.run()
    return 0


@command()
def bundle(chosen: Any) -> int:
    """fetch all packages into the folder bundle: set-up then needs no network"""
    from workshop import lock as locked

    return locked.bundle()


@command()
def doctor(chosen: Any) -> int:
    """say of everything the workbook needs whether it is here, and if not, what to do"""
    from workshop import doctor as examination

    return 0 if examination.doctor() else 1


@command()
def lock(chosen: Any) -> int:
    """renew the locks from pyproject.toml, without the address of any index"""
    from workshop import lock as locked

    return locked.renew()


def main() -> int:
    """Run one command, and return the exit status."""
    chosen = PARSER.parse_args()
    try:
        status: int = chosen.run(chosen)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
