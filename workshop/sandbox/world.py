"""The sandbox of this process: the world it shows, its faults, and what the DAGs are told of it.

Programs and servers are stand-ins. The servers listen on loopback, on free ports, and end with
the process. In the real world, which `GCPSPY_WORLD=real` asks JupyterLab for, there is no sandbox.
"""

import hashlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from workshop.ground import Problem
from workshop.lab import Home, current
from workshop.sandbox import gcloud, isolation
from workshop.sandbox.children import sitecustomize
from workshop.sandbox.gcloud import program as program_of_gcloud
from workshop.sandbox.mailserver import GONE, MAIL_FAULTS, MailServer
from workshop.sandbox.slack import SLACK_FAULTS, Slack

WORLDS = Path(__file__).parent / "worlds"
RECIPIENT = "ops@example.com"
DAG_VARIABLES = ("GCPSPY_SLACK_WEBHOOK", "GCPSPY_RECIPIENT_EMAIL", "AIRFLOW_CONN_SMTP_DEFAULT")
# What gcp_spy_today reads beside the last: the first two in another form.
TODAY_VARIABLES = ("AIRFLOW_CONN_SLACK_DEFAULT", "AIRFLOW_VAR_GCP_SPY_RECIPIENT")
# In the environment of a kernel that a Jupyter server starts for a notebook; the warm process.
SESSION, WARM = "JPY_SESSION_NAME", "workshop.kernels.warm"
FAULTS: dict[str, tuple[Any, ...]] = {
    **{name: service.faults for name, service in gcloud.SERVICES.items()},
    "gcloud": ("missing",),
    "slack": SLACK_FAULTS,
    "mail": MAIL_FAULTS,
}


NOT_REAL = (
    "\nGCPSPY_WORLD=real was not followed: the real world opens only in a notebook that you open "
    "in JupyterLab."
)


@dataclass
class Sandbox:
    """The stand-ins of this process."""

    slack: Slack = field(default_factory=Slack)
    mail: MailServer = field(default_factory=MailServer)
    world: str = ""
    path: Path = Path()
    home: Path = Path()
    programs: Home | None = None  # where the program gcloud is
    world_faults: dict[str, Any] = field(default_factory=dict)
    switches: dict[str, Any] = field(default_factory=dict)  # None: works again
    # The folders of PATH before any stand-in was put there.
    folders: list[str] = field(default_factory=os.get_exec_path)

    @property
    def faults(self) -> dict[str, Any]:
        """What fails now, and how."""
        both = self.world_faults | self.switches
        return {what: kind for what, kind in both.items() if kind is not None}

    @property
    def recipients(self) -> list[str]:
        """Who shall get the mails."""
        return [RECIPIENT, *[GONE] * (self.faults.get("mail") == "one_refused")]


def enter(name: str, home: Path | None = None) -> str:
    """Make the stand-ins answer as a world says, forget what arrived, and return a sentence.

    Args:
        name: a world: a file of the folder worlds beside the notebook, else one of the package's.
        home: where the sandbox has its files; by default this process's private Airflow.

    Raises:
        Problem: there is no such world, its file is not right, or the stand-ins are not what a
            DAG would reach.
    """
    home = home or current()[Home].folder
    isolation.build_walls(home)
    path = _find(name)
    try:
        world = gcloud.read_world(path)
        if not isinstance(world["faults"], dict):
            raise ValueError(f"{path.name}: write the faults as 'faults: {{slack: 500}}'.")
        for what, kind in world["faults"].items():
            _check_fault(what, kind)
    except (OSError, ValueError) as error:
        raise Problem(f"The world '{name}' cannot be used. {error}") from None
    box = current().find(Sandbox) or current().put(Sandbox())
    if not box.programs or box.home != home:
        box.programs = isolation.home_of_programs(home)
    box.world, box.path, box.home = name, path, home
    box.slack.messages.clear()
    box.mail.mails.clear()
    install_gcloud(box.programs.folder, box.home, path)
    (box.home / "stopped.txt").unlink(missing_ok=True)
    box.world_faults, box.switches = world["faults"], {}
    _apply(box)
    program = "" if "gcloud" in box.faults else str(box.programs.folder / "gcloud")
    isolation.ask(home, program.__eq__)
    count = sum(len(instances) for instances in world["services"].values())
    faults = f", faults: {_in_words(box.faults)}" if box.faults else ""
    own = "" if path.parent == WORLDS else f" (your file worlds/{path.name})"
    return (
        f"Sandbox, world '{name}'{own}: {count} instances{faults}.\n"
        "gcloud, Slack and the mail server are stand-ins on this machine; nothing leaves it."
        f"{NOT_REAL if wants_real() else ''}"
    )


@contextmanager
def visit(name: str) -> Iterator[Sandbox]:
    """Be in one of the package's own worlds, or at a world's file, then back, as if never away.

    Args:
        name: a world's name, or the path of its file.

    Raises:
        Problem: this is the real world, or the notebook has not started.
    """
    box = switchable()
    before = vars(box).copy()
    messages, mails = list(box.slack.messages), list(box.mail.mails)
    try:
        enter(str(WORLDS / f"{name}.yaml") if "/" not in name else name, box.home)
        yield box
    finally:
        box.slack.messages[:], box.mail.mails[:] = messages, mails
        vars(box).update(before)
        assert box.programs
        install_gcloud(box.programs.folder, box.home, box.path)
        _apply(box)


def _find(name: str) -> Path:
    if "/" in name and Path(name).is_file():
        return Path(name)
    for folder in (Path.cwd() / "worlds", WORLDS):
        path = folder / f"{name}.yaml"
        if path.is_file():
            return path
    raise Problem(f"There is no world '{name}'. The worlds are: {', '.join(known_worlds())}.")


def known_worlds() -> list[str]:
    """Return the names of the package's own worlds."""
    return sorted(path.stem for path in WORLDS.glob("*.yaml"))


def _check_fault(what: str, kind: Any) -> None:
    """Raise ValueError when there is no such fault."""
    if kind not in FAULTS.get(what, ()):
        can = "; ".join(f"{key}: {', '.join(map(str, FAULTS[key]))}" for key in FAULTS)
        raise ValueError(f"there is no fault '{what}: {kind}', only {can}.")


def _in_words(faults: dict[str, Any]) -> str:
    return ", ".join(f"{what} {kind}" for what, kind in sorted(faults.items()))


def _apply(box: Sandbox) -> None:
    """Make the stand-ins show the faults that are switched on; `gcloud` reads its at each call."""
    (box.home / "faults.json").write_text(json.dumps(box.switches), encoding="utf-8")
    box.slack.set_fault(box.faults.get("slack"))
    box.mail.fault = box.faults.get("mail")
    os.environ["PATH"] = _path_with(box, box.folders)
    values = (box.slack.webhook, ", ".join(box.recipients), box.mail.connection)
    os.environ.update(zip(DAG_VARIABLES, values, strict=True))
    tell_today()


def _path_with(box: Sandbox, folders: list[str]) -> str:
    """Return PATH with the stand-in for gcloud first, or without any gcloud."""
    if "gcloud" in box.faults:
        folders = [_without_gcloud(box.home, folder) for folder in folders]
    elif box.programs and str(box.programs.folder) not in folders:
        folders = [str(box.programs.folder), *folders]
    return os.pathsep.join(folders)


@contextmanager
def isolated(dag: Any) -> Iterator[None]:
    """Be around a run of a DAG: ask whether the sandbox holds, and keep it around commands.

    Args:
        dag: the DAG.

    Raises:
        Problem: the sandbox does not hold, because a cell changed the environment.
    """
    if is_real():
        yield
        return
    box = current()[Sandbox]
    each = (shutil.which("gcloud", path=folder) for folder in box.folders)
    real = [os.path.realpath(path) for path in each if path]

    def is_right(found: str) -> bool:
        # Another one may be a learner's own, made for a test; a function of bash is the reader's.
        return not found or ("/" in found and os.path.realpath(found) not in real)

    isolation.ask(box.home, is_right)
    with sitecustomize.installed():
        yield


def handed_on() -> dict[str, str]:
    """Return the environment of processes that stay in this sandbox, and all they start too."""
    told = (*DAG_VARIABLES, *TODAY_VARIABLES, *isolation.walls(Path()))
    folders = [str(Path(sitecustomize.__file__).parent), os.environ.get("PYTHONPATH", "")]
    return (
        isolation.sandbox_environment()
        | {name: os.environ[name] for name in told if name in os.environ}
        | {"PYTHONPATH": os.pathsep.join(filter(None, folders))}
    )


def fault(**switches: Any) -> None:
    """Switch faults of the sandbox on and off, and say which are on.

    Args:
        switches: what should fail and how, for example `spanner="denied"`, `compute="slow"`,
            `sql="empty"`, `slack=500`, `mail="down"` or `gcloud="missing"`; with None it works
            again.

    Raises:
        Problem: there is no such fault, or this is the real world.
    """
    set_faults(switches)
    print(f"Faults: {_in_words(faults_now()) or 'none'}.")


def set_faults(switches: dict[str, Any]) -> None:
    """Switch faults on and off; raises as `fault`, which says more."""
    box = switchable()
    for what, kind in switches.items():
        if kind is not None or what not in FAULTS:
            try:
                _check_fault(what, kind)
            except ValueError as error:
                raise Problem(f"T{str(error)[1:]}") from None
    box.switches |= switches
    _apply(box)


def faults_now() -> dict[str, Any]:
    """Return the faults that are switched on; raise Problem where there are none to switch."""
    return switchable().faults


def switchable() -> Sandbox:
    """Return the sandbox of this process.

    Raises:
        Problem: this is the real world, or the notebook has not started.
    """
    if is_real():
        raise Problem("This is the real world: it has no switches. Leave GCPSPY_WORLD out for one.")
    return current()[Sandbox]


def install_gcloud(folder: Path, home: Path, world: Path) -> None:
    """Write the program gcloud into a folder; a world's file and a home's faults are its own."""
    program = folder / "gcloud"
    # Isolated, and without `site`, which takes a third of an interpreter's start; yet with the
    # stand-in's package, which lies in this folder, and with YAML's.
    places = [str(Path(of).parents[1]) for of in (program_of_gcloud.__file__, str(yaml.__file__))]
    code = f"import sys; sys.path += {places}; "
    code += "from gcloud.program import main; sys.exit(main())"
    words = shlex.join([sys.executable, "-I", "-S", "-X", "utf8", "-c", code, str(world),
                        str(home / "faults.json")])  # fmt: skip
    # A shell between them, because an interpreter's path with a blank cannot follow `#!`.
    program.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
    program.chmod(0o755)


def _without_gcloud(home: Path, folder: str) -> str:
    """Return a folder of programs; one with a gcloud in it as a copy of links without that one."""
    if not shutil.which("gcloud", path=folder):
        return folder
    real = Path(folder).absolute()
    # Each path has a name of its own, be it as long as it may.
    copy = home / "without" / hashlib.sha256(bytes(real)).hexdigest()
    if not copy.exists():
        copy.mkdir(parents=True)
        for program in real.iterdir():
            (copy / program.name).symlink_to(program)
        (copy / "gcloud").unlink()
    return str(copy)


def use_real() -> str:
    """Check that everything real is there, and return a sentence that says so.

    Raises:
        Problem: gcloud or a variable is missing.
    """
    missing = [name for name in DAG_VARIABLES if not os.environ.get(name)]
    if not shutil.which("gcloud"):
        missing.insert(0, "program gcloud")
    if missing:
        raise Problem(
            f"GCPSPY_WORLD=real asks for the real world, but there is no {', no '.join(missing)}. "
            "Set what is missing and restart JupyterLab, or leave GCPSPY_WORLD out for the sandbox."
        )
    tell_today()
    return "REAL WORLD: your own gcloud, Slack and mail server. Messages leave this machine."


def wants_real() -> bool:
    """Return whether the reader asked for the real gcloud, Slack and mail server."""
    return os.environ.get(isolation.WISH) == "real"


def is_real() -> bool:
    """Return whether this is the real world: asked for, and in a notebook opened by a person.

    A Jupyter server names the session in the environment of the kernel that it starts. What a
    kernel starts in its turn, as papermill in a cell, inherits the name and is no such notebook.
    """
    if not wants_real() or not os.environ.get(SESSION):
        return False
    try:
        parent = psutil.Process(int(os.environ["JPY_PARENT_PID"]))
        # A fork has no environment of its own that others could read.
        return SESSION not in parent.environ() and WARM not in parent.cmdline()
    except (KeyError, ValueError, psutil.Error):
        return False


def tell_today() -> None:
    """Tell gcp_spy_today the webhook and the recipient."""
    webhook, recipient = (os.environ[name] for name in DAG_VARIABLES[:2])
    # No short timeout: on a busy machine each answer takes a while, and a message went out twice.
    connection = {"conn_type": "slackwebhook", "password": webhook}
    values = (json.dumps(connection), recipient)
    os.environ.update(zip(TODAY_VARIABLES, values, strict=True))
