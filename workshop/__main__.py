"""The commands behind the Makefile: `python -m workshop COMMAND`."""

import argparse
import os
import subprocess
import sys

from workshop import lab
from workshop.problem import Problem


def prepare() -> int:
    """make what every notebook starts from: the metadata database, matplotlib's list of fonts"""
    print("Preparing Airflow's metadata database.", flush=True)
    lab.prepared_database()
    os.environ["MPLCONFIGDIR"] = str(lab.BUILD / "matplotlib")
    import matplotlib.font_manager  # noqa: F401  (writes its cache at import)

    return 0


def open_lab() -> int:
    """open JupyterLab on a working copy of the notebooks"""
    from workshop import headless, workcopy

    folder = workcopy.make()
    os.environ.update(headless.own_folders())
    workcopy.quiet_settings()
    print(f"Your copy of the notebooks is the folder {folder.name}; it is never overwritten.")
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *workcopy.lab_options(folder)])


def check() -> int:
    """run every check"""
    return subprocess.call([sys.executable, "-m", "pytest"], cwd=lab.ROOT)


def demo() -> int:
    """run the gcp_spy notebooks headless, and make the page of what arrived"""
    from workshop import demo as demonstration
    from workshop import headless

    headless.force_sandbox()
    print(f"Open this page: {demonstration.run()}")
    return 0


def dags() -> int:
    """write dags/gcp_spy.py, the index and the README's table from the notebooks"""
    from workshop import record

    for path in record.write_generated():
        print(f"written: {path.relative_to(lab.ROOT)}")
    return 0


def record_all() -> int:
    """run the notebooks in place and store their outputs, after writing what is generated"""
    from workshop import headless, record
    from workshop.slides import NOTEBOOKS

    headless.force_sandbox()
    dags()
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        changed = record.record(path)
        print(f"{'recorded' if changed else 'as it was'}: {path.relative_to(lab.ROOT)}", flush=True)
    return 0


def airflow() -> int:
    """run a real Airflow with its UI on dags/, beside the sandbox, until Ctrl-C"""
    from workshop import headless, server

    headless.force_sandbox()
    server.run()
    return 0


def bench() -> int:
    """measure what the workbook costs beside bare Airflow (about twenty minutes)"""
    from workshop import bench as benchmark

    benchmark.run()
    return 0


def bundle() -> int:
    """fetch all packages into the folder bundle: set-up then needs no network"""
    from workshop import lock as locked

    return locked.bundle()


def doctor() -> int:
    """say of everything the workbook needs whether it is here, and if not, what to do"""
    from workshop import doctor as examination

    return 0 if examination.doctor() else 1


def lock() -> int:
    """renew requirements.lock from pyproject.toml, without the address of any index"""
    from workshop import lock as locked

    return locked.renew()


COMMANDS = {
    "prepare": prepare,
    "lab": open_lab,
    "check": check,
    "airflow": airflow,
    "bench": bench,
    "bundle": bundle,
    "demo": demo,
    "doctor": doctor,
    "dags": dags,
    "record": record_all,
    "lock": lock,
}


def main() -> int:
    """Run one command, and return the exit status."""
    parser = argparse.ArgumentParser(prog="workshop", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.__doc__)
    arguments = parser.parse_args()
    try:
        return COMMANDS[arguments.command]()
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
