"""The commands behind the Makefile, and those for a working copy: `workshop COMMAND`.

What a command needs is imported when it runs, so that `--help` answers at once.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from workshop.ground import BUILD, NOTEBOOKS, ROOT, Problem, known, paths

APP = typer.Typer(
    help="The commands behind the Makefile, and those for a working copy of the notebooks.",
    add_completion=False, no_args_is_help=True,
    rich_markup_mode=None, pretty_exceptions_enable=False,
)  # fmt: skip
WORK = ROOT / "work"


def made(folder: Path) -> Path:
    """Return the working copy in a folder, made where it is not there yet."""
    from workshop.slides.workcopy import make

    return make(folder.resolve())


Copy = Annotated[Path, typer.Option("--folder", help="The working copy.", callback=made)]
Slide = Annotated[int, typer.Argument(help="Where you want to go on.")]
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NOTEBOOK", help="For example 04_slack; all without a name."),
]


def stems(names: list[str] | None) -> list[str]:
    """Return the notebooks that somebody named, each once; all where nobody did.

    Raises:
        Problem: there is no such notebook.
    """
    there = [path.stem for path in paths.notebooks()]
    wanted = [Path(name).name.removesuffix(".ipynb") for name in names or there]
    return list(dict.fromkeys(known(name, there, "notebook") for name in wanted))


@APP.command()
def prepare() -> None:
    """Make what every notebook starts from; set-up calls it.

    That is Airflow's metadata database, and matplotlib's list of fonts.
    """
    from workshop.lab.home import prepared_database

    print("Preparing Airflow's metadata database.", flush=True)
    prepared_database()
    os.environ["MPLCONFIGDIR"] = str(BUILD / "matplotlib")
    import matplotlib.font_manager  # noqa: F401  (writes its cache at import)


@APP.command()
def lab(copy: Copy = WORK) -> None:
    """Open JupyterLab on a working copy of the notebooks."""
    from workshop.authoring.upkeep.jupyterlab import open_jupyterlab

    print(f"Your copy of the notebooks is the folder {copy.name}; it is never overwritten.")
    open_jupyterlab(copy, "lab/tree/00_index.ipynb")


@APP.command()
def present(slide: Slide, copy: Copy = WORK) -> None:
    """Open JupyterLab for a stage, with notes.

    It shows one notebook in large type, from a slide on; what the slide needs has run. The notes
    are an HTML page.
    """
    from workshop.authoring.editions import stage
    from workshop.authoring.editions.notes import write_notes
    from workshop.authoring.upkeep.jupyterlab import open_jupyterlab

    page = stage.stage_notebook(slide, copy)
    print(f"Your notes, slide by slide: {write_notes()}#slide-{slide}")
    print("When a live cell fails, put stored() into the next one.")
    os.environ[stage.PAGE] = page.name
    open_jupyterlab(page.parent, f"doc/tree/{page.name}", stage=stage.__name__)


@APP.command()
def start(copy: Annotated[Path, typer.Argument(help="A new folder.", callback=made)]) -> None:
    """Make another working copy of the notebooks."""
    print(f"The notebooks are in {copy}. Open them: .venv/bin/workshop lab --folder '{copy}'")


@APP.command()
def catch_up(slide: Slide, copy: Copy = WORK) -> None:
    """Write a notebook beside yours that goes on at a slide."""
    from workshop.slides import workcopy

    path = workcopy.catch_up(slide, copy)
    print(f"Open {path.name}: it goes on at slide {slide}. Your own notebook is as it was.")


@APP.command()
def reset(
    notebook: Annotated[str, typer.Argument(help="For example 04_slack.")], copy: Copy = WORK
) -> None:
    """Put the workbook's notebook back; yours is kept.

    Your version stays in the working copy under another name.
    """
    from workshop.slides import workcopy

    kept = workcopy.reset(notebook, copy)
    print(f"The notebook is the workbook's again; yours is {kept.name}, if there was one.")


@APP.command()
def check(notebooks: Names = None) -> None:
    """Run every check, or those of some notebooks."""
    from workshop.authoring.checking.runs import check_notebooks, run_pytest

    sys.exit(check_notebooks(stems(notebooks)) if notebooks else run_pytest())


@APP.command()
def check_changed() -> None:
    """Check what the changes since the last commit affect."""
    from workshop.authoring.checking.affected import check_changed as run

    sys.exit(run())


@APP.command()
def check_browser() -> None:
    """Drive JupyterLab in a Chromium as a person would."""
    from workshop.authoring.checking.runs import check_browser as run

    sys.exit(run())


@APP.command()
def record_ui() -> None:
    """Take the pictures of Airflow's UI anew."""
    from workshop.authoring.upkeep.screenshots import record_ui as run

    run()


@APP.command()
def executors() -> None:
    """Install what the notebooks with clusters need, once."""
    from workshop.cluster import executors_ready

    executors_ready()
    print("The executors' packages are here.")


@APP.command()
def check_executors() -> None:
    """Run the notebooks with clusters, and their tests."""
    from workshop.authoring.checking.runs import check_executors as run

    sys.exit(run())


@APP.command()
def check_weekly() -> None:
    """Run the tests that take too long for each change."""
    from workshop.authoring.checking.runs import check_weekly as run

    sys.exit(run())


@APP.command()
def check_examples() -> None:
    """Run Airflow's example DAGs as files and as cells."""
    from workshop.authoring.checking.runs import check_examples as run

    sys.exit(run())


@APP.command()
def check_links() -> None:
    """Open each page outside that a notebook leads to."""
    from workshop.authoring.checking.links import open_pages

    sys.exit(not open_pages())


@APP.command()
def canary() -> None:
    """Run the checks on the newest Airflow, pre-releases too."""
    from workshop.authoring.upkeep.canary import run_canary

    sys.exit(run_canary())


@APP.command()
def composer_bundle() -> None:
    """Prepare and check what a managed Airflow would get."""
    from workshop.authoring.upkeep.composer import bundle

    print(f"Look into {bundle()}")


@APP.command()
def kind(
    context: Annotated[str, typer.Option(help="By default the current one, if a kind-*.")] = "",
    image: Annotated[str, typer.Option(help="A repository that the cluster reads.")] = "",
) -> None:
    """Run both spies on a Kubernetes of yours."""
    from workshop.authoring.upkeep.kind import run_kind

    run_kind(context, image)


@APP.command()
def demo() -> None:
    """Run the gcp_spy notebooks, and make a page of it."""
    from workshop.authoring.editions.demo import run_demo

    print(f"Open this page: {run_demo()}")


@APP.command()
def rehearse() -> None:
    """Run the whole talk, and print its times beside the plan."""
    from workshop.authoring.editions.rehearsal import rehearse_talk

    sys.exit(not rehearse_talk())


@APP.command()
def blank() -> None:
    """Write the notebooks for a room: no outputs, no solutions."""
    from workshop.authoring.editions.room import write_blank

    write_blank()


@APP.command()
def site() -> None:
    """Build the notebooks as pages that work from disk."""
    from workshop.authoring.editions.site import write_site

    print(f"Open this page: {write_site()}")


@APP.command()
def dags() -> None:
    """Write gcp_spy.py, the index and the README's table."""
    from workshop.authoring.checking.generated import write_generated

    write_generated()


@APP.command()
def record(
    notebooks: Names = None,
    measured: Annotated[
        bool, typer.Option("--measured", help="Store what this run measures, too.")
    ] = False,
) -> None:
    """Run notebooks in place, and store their outputs.

    Before that it writes what `dags` writes. What differs in each run, as seconds and memory do,
    stays as it is stored while the rest of its notebook gives what it gave before.
    """
    from workshop.authoring.checking.generated import write_generated
    from workshop.authoring.checking.headless import force_sandbox
    from workshop.authoring.checking.recording import record_notebook
    from workshop.authoring.editions.replays import RUNS, record_run
    from workshop.cluster import executors_ready
    from workshop.ground.talk import with_clusters

    chosen = stems(notebooks)
    force_sandbox()
    if set(chosen) & set(with_clusters()):
        executors_ready()
    write_generated()
    for path in (NOTEBOOKS / f"{name}.ipynb" for name in chosen):
        print(f"{path.relative_to(ROOT)}: ", end="", flush=True)  # before what may go wrong
        print("recorded" if record_notebook(path, measured=measured) else "as it was")
        if path.stem in RUNS:
            print("  its run for the site:", "recorded" if record_run(path.stem) else "as it was")


@APP.command()
def airflow() -> None:
    """Run a real Airflow with its UI on dags/, until Ctrl-C."""
    from workshop.authoring.upkeep.server import run_airflow

    run_airflow()


@APP.command()
def bench() -> None:
    """Measure what the workbook costs; takes half an hour."""
    from workshop.authoring.measuring.bench import run_rounds

    run_rounds()


@APP.command()
def bench_upstream() -> None:
    """Measure an API of one version in bare Airflow."""
    from workshop.authoring.measuring.upstream import compare_versions

    compare_versions()


@APP.command()
def bench_executors() -> None:
    """Run the same DAGs on four executors; takes four minutes."""
    from workshop.authoring.measuring.race import run_executors

    run_executors()


@APP.command()
def bundle() -> None:
    """Fetch all packages: set-up then needs no network."""
    from workshop.authoring.upkeep.locks import fetch_bundle

    sys.exit(fetch_bundle())


@APP.command()
def doctor() -> None:
    """Say whether everything is here that the workbook needs."""
    from workshop.authoring.upkeep.examination import doctor as examine
    from workshop.authoring.upkeep.examination import kernels

    well = examine()
    print(f"{'kernels':16}", end="", flush=True)  # one is tried, which takes seconds
    print(kernels())
    sys.exit(not well)


@APP.command()
def mutants() -> None:
    """Put small faults into the package: do tests see them?"""
    from workshop.authoring.checking.mutants import run_mutants

    sys.exit(run_mutants())


@APP.command()
def mutations() -> None:
    """Put small faults into gcp_spy_today: do tests see them?"""
    from workshop.authoring.measuring.mutations import run_mutations

    sys.exit(run_mutations())


@APP.command()
def lock() -> None:
    """Renew the locks from pyproject.toml."""
    from workshop.authoring.upkeep.locks import renew

    sys.exit(renew())


def main() -> None:
    """Run one command; what goes wrong outside it is one sentence."""
    try:
        APP(prog_name="workshop")
    except Problem as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
