"""A stand-in for the `gcloud` program: it lists the instances of a world, and stops machines.

Run as a program of its own, so it imports nothing else of the workbook; `install_gcloud` in
`workshop/sandbox/world.py` writes the file that starts it. Its arguments are the world's YAML file,
a file of faults, and gcloud's own words. Beside the faults stand `stopped.txt`, which machines were
stopped, and `world.json`, a copy of the world that is read faster; the world's file stays as it is.
What it prints, and where, and its exit status are those of Google Cloud CLI 528.0.0 for the same
objects, or it refuses. The real one's answers are recorded in
`workshop/tests/sandbox/recorded.yaml`; where a real one is installed,
`workshop/tests/sandbox/test_real_gcloud.py` compares the two byte for byte.
"""

import argparse
import json
import math
import os
import re
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from .filters import demanded, parse_filter, select
from .formats import (
    Format,
    Object,
    Refused,
    as_json,
    as_text,
    key_name,
    parse_format,
    projected,
    scalar,
    sort,
    written,
)
from .formats import (
    Path as Key,
)
from .services import (
    COMPUTE,
    SERVICES,
    ZONE,
    Service,
    last,
    list_api,
    lost,
    read_world,
    short_name,
    zone_of,
)

SECONDS = {"slow": 3, "hanging": 8}  # a real one may hang for ever
ACCOUNT = "spy@example.com"
AUTHENTICATED = (
    f"This command is authenticated as {ACCOUNT} which is the active account specified by the "
    "[core/account] property"
)
NO_CREDENTIALS = """You do not currently have an active account selected.
Please run:

  $ gcloud auth login

to obtain new credentials.

If you have already logged in with a different account, run:

  $ gcloud config set account ACCOUNT

to select an already authenticated account to use."""


Answer = tuple[str, str, int]  # what a command prints on stdout and stderr, and its exit status
LEVELS = ("debug", "info", "warning", "error", "critical", "none")
OWN = {  # flags of the commands on instances, beside those that are everywhere
    "list": {"filter", "format", "limit", "sort_by"},
    "describe": {"format", "zone"},
    "stop": {"zone"},
}
KNOWN = (
    f"It knows 'gcloud SERVICE instances list' for {', '.join(SERVICES)}, with --filter, --format, "
    "--limit and --sort-by; 'gcloud SERVICE instances describe NAME', with --format and --zone; "
    "'gcloud compute instances stop NAME --zone=ZONE'; 'gcloud config get-value project'; and "
    "--configuration, --help, --project, --quiet, --verbosity and --version."
)
VERSION = "Google Cloud SDK 528.0.0"
STAND_IN = "This is the workbook's stand-in for gcloud."
SET_PROJECT = """To set your project, run:

  $ gcloud config set project PROJECT_ID

or to unset it, run:

  $ gcloud config unset project"""


class Words(argparse.ArgumentParser):
    """gcloud's words and flags; gcloud reads its own with this library too."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        self.add_argument("words", nargs="*")
        self.add_argument("--quiet", "-q", action="store_true")
        self.add_argument("--verbosity", choices=LEVELS[2:], default="warning")
        self.add_argument("--help", "-h", action="store_true")
        self.add_argument("--limit", type=int)
        for flag in ("project", "configuration", "filter", "format", "sort-by", "zone"):
            self.add_argument(f"--{flag}")

    def error(self, message: str) -> NoReturn:
        """Raise Refused."""
        raise Refused(message)


def not_succeeded(why: str) -> tuple[str, int]:
    """Return stderr and exit status of compute where a part of its list could not be had."""
    if os.environ.get("CLOUDSDK_COMPUTE_ALLOW_PARTIAL_ERROR") == "false":
        error = "ERROR: (gcloud.compute.instances.list) Some requests did not succeed:"
        return f"{error}\n - {why}\n\n", 1
    return f"WARNING: Some requests did not succeed.\n - {why}\n\n", 0


def unreachable(name: str) -> str:
    """Return what gcloud says of an instance of Spanner that its list could not reach; with 0."""
    return f"WARNING: The following instances were unreachable: {name}.\n"


def http_error(status: int, message: str) -> str:
    """Return gcloud's words for an API that refuses."""
    dot = "" if message.endswith(".") else "."  # the message brings its own, and moves gcloud's
    return f"HTTPError {status}: {message}{dot} {AUTHENTICATED}{'' if dot else '.'}\n"


def denied(service: str, project: str, output: str) -> Answer:
    """Return stdout, stderr and exit status of a list that the API answers with 403."""
    about = SERVICES[service]
    refusal = about.refusal.format(project)
    error = f"ERROR: (gcloud.{service}.instances.list)"
    listed = "[]\n" if output == "json" else ""
    if about.http_refusal:
        return "", f"{error} {http_error(403, refusal)}", 1
    if about.by_zone:  # a warning and 0 unless told otherwise, so a pipeline takes it for empty
        return listed, *not_succeeded(refusal)
    said = (
        f"{error} [{ACCOUNT}] does not have permission to access projects instance [{project}] "
        f"(or it may not exist): {refusal} {AUTHENTICATED}.\n"
    )
    return listed, said, 1


def stop(world: dict[str, Any], project: str, zone: str | None, name: str) -> Answer:
    """Stop a machine; return stdout, stderr and exit status."""
    error = "ERROR: (gcloud.compute.instances.stop)"
    if not zone:
        return "", f"{error} Underspecified resource [{name}]. Specify the [--zone] flag.\n", 1
    about = SERVICES["compute"]
    if project != world["project"]:
        return "", f"{error} {http_error(403, about.refusal.format(project))}", 1
    link = f"{COMPUTE}/{project}/zones/{zone}/instances/{name}"
    if link not in [api["selfLink"] for api in list_api(world, "compute", project)]:
        return "", f"{error} {http_error(404, about.missing.format(project, zone, name))}", 1
    world["stopped"].append(link)
    return "", f"Stopping instance(s) {name}...\n.....done.\nUpdated [{link}].\n", 0


def describe(world: dict[str, Any], service: str, name: str, given: argparse.Namespace) -> Answer:
    """Return what is printed of one instance: as YAML, or in the format that is asked for."""
    about = SERVICES[service]
    project, zone = given.project, given.zone or ""
    error = f"ERROR: (gcloud.{service}.instances.describe)"
    form = parse_format(given.format, {}) if given.format else None
    if about.in_zone and not zone:
        if not about.by_zone:  # gcloud says it in ten lines
            raise Refused(f"{service} names its instances with a zone: give --zone", 1)
        return "", f"{error} Underspecified resource [{name}]. Specify the [--zone] flag.\n", 1
    if world["faults"].get(service) == "denied":
        status, message = 403, about.refusal.format(project)
    else:
        status, message = 404, about.missing.format(project, zone, name)
        for api in list_api(world, service, project):
            if short_name(api) == name and (not about.in_zone or zone_of(api) == zone):
                return _described(about.shown(api), form), "", 0
    if about.by_zone:
        return "", f"{error} Could not fetch resource:\n - {message}\n\n", 1
    if (service, status) == ("sql", 403):
        where = f"projects/{project}/instances/{name} or you are not authorized to access it."
        return "", f"{error} There was no instance found at {where}\n", 1
    return "", f"{error} {http_error(status, message)}", 1


def _described(api: Object, form: Format | None) -> str:
    if form is None:
        import yaml  # not above: each list would wait for it

        return yaml.dump(api, default_flow_style=False, allow_unicode=True, width=sys.maxsize)
    if form.name == "json":
        return as_json(projected(api, form))
    return written(form, [api], lambda api, head: "")


def in_table(api: Object, key: Key, about: Service, form: Format) -> tuple[float, str]:
    """Return what a table compares when it sorts: its numbers, then texts as it shows them.

    Args:
        api: an instance.
        key: of --sort-by.
        about: its service.
        form: of the table.
    """
    value, name = scalar(api, key), key_name(key)
    shown = [key_name(path) if path else about.columns[head] for head, path in form.columns]
    if name not in shown:  # a column that is not shown holds texts alone
        return math.inf, as_text(value)
    number = value if isinstance(value, int | float) else math.inf
    return number, last(as_text(value)) if name in about.short else as_text(value)


def listing(world: dict[str, Any], service: str, given: argparse.Namespace) -> Answer:
    """Return what is printed of a service's instances."""
    about = SERVICES[service]
    project, fault = given.project, world["faults"].get(service)
    every = Format("table", [(head, None) for head in about.columns])
    form = parse_format(given.format, about.columns) if given.format else every
    heads = about.columns | dict.fromkeys(about.not_filtered, "")
    tree = parse_filter(given.filter or "", heads)
    other = (given.sort_by or "name").removeprefix("~") != "name"
    if about.sorts_table and form.name == "table" and other:
        raise Refused(f"a table of {service} has an order of its own beside --sort-by")
    said, status = "", 0
    if fault == "denied":
        out, said, status = denied(service, project, form.name)
        if status:
            return out, said, status
    if fault in ("denied", "empty"):
        world["services"][service] = []
    if fault == "partial":
        gone = lost(world, service, project)
        if about.by_zone:
            said, status = not_succeeded(f"The zone '{gone}' is not reachable.")
        elif service == "spanner" and gone:  # of others gcloud says nothing
            said = unreachable(gone)
    objects = [about.shown(api) for api in list_api(world, service, project)]
    if about.by_zone:  # gcloud asks for the zones that the filter demands, and for no other
        zones = demanded(tree, ("zone",))
        if paths := [zone for zone in zones if "/" in zone]:
            raise Refused(f"it wants a zone by its name, such as {ZONE}, not {paths[0]}")
        objects = [api for api in objects if zones <= {zone_of(api)}]
    if about.limits_first:
        objects = objects[: given.limit]
    if given.sort_by:
        # gcloud compares texts, so 10 comes before 9, and what is not there is "None".
        objects = sort(objects, given.sort_by, lambda api, key: str(scalar(api, key)))
    warnings = ""
    if tree:
        objects, warnings = select(tree, objects, given.limit)
    objects = objects[: given.limit]
    by_name = next(iter(about.columns)) in [head for head, _ in form.columns]
    if form.name == "table" and given.sort_by:  # a table sorts what is left once more
        objects = sort(objects, given.sort_by, lambda api, key: in_table(api, key, about, form))
    elif about.sorts_table and form.name == "table" and by_name:
        objects = sorted(objects, key=short_name)
    if given.verbosity != "warning" and not status:
        said = warnings = ""
    nothing = "" if given.format or objects else "Listed 0 items.\n"
    return written(form, objects, about.cell), said + warnings + nothing, status


def answer(world: dict[str, Any], arguments: list[str]) -> Answer:
    """Return what the command prints on stdout and on stderr, and its exit status."""
    if arguments in (["--version"], ["version"]):
        return f"{VERSION}\n{STAND_IN}\n", "", 0
    try:
        if clustered := [word for word in arguments if re.match("--$|-[a-z]{2}", word)]:
            raise Refused(f"it knows no {clustered[0]}")
        given = Words().parse_intermixed_args(arguments)
        if given.help:
            return f"{STAND_IN}\n{KNOWN}\n", "", 0
        out, err, status = _run(world, given, arguments)
    except Refused as refused:
        why = str(refused)
        return (
            "",
            f"ERROR: (gcloud) {STAND_IN} {why[0].upper()}{why[1:]}. {KNOWN}\n",
            refused.status,
        )
    if given.verbosity in ("critical", "none") and status:
        err = ""
    return out, err, status


def _run(world: dict[str, Any], given: argparse.Namespace, arguments: list[str]) -> Answer:
    """Return the answer to words and flags; raise Refused where they are not known."""
    flags = {name for name in set().union(*OWN.values()) if getattr(given, name) is not None}
    asked = given.project
    given.project = world["project"] if asked is None else asked
    match given.words:
        case ["config", "get-value" | "get", "project"] if not flags and not given.configuration:
            return f"{given.project}\n", "", 0
        case [service, "instances", "list" as verb] if service in SERVICES:
            name = ""
        case [service, "instances", "describe" as verb, name] if service in SERVICES:
            pass
        case ["compute" as service, "instances", "stop" as verb, name]:
            pass
        case words:
            raise Refused(f"it knows no command 'gcloud {' '.join(words)}'")
    own = OWN[verb] - (set() if SERVICES[service].in_zone else {"zone"})
    before = arguments[: arguments.index(verb)]
    theirs = ("--filter", "--limit", "--sort-by", "--zone")
    early = [word for word in before if word.startswith(theirs)]
    if alien := early or sorted(f"--{name.replace('_', '-')}" for name in flags - own):
        raise Refused(f"{alien[0]} does not belong to '{verb}', or stands before that word")
    if given.limit is not None and not 1 <= given.limit < 2**63:
        raise Refused(f"--limit must be from 1 to {2**63 - 1}, not {given.limit}")
    if asked is not None and not re.fullmatch("[a-z0-9:.-]+", asked):
        where = "gcloud" if asked else f"gcloud.{service}.instances.{verb}"
        return "", f"ERROR: ({where}) {_no_project(asked)}\n{SET_PROJECT}\n", 1
    if asked and asked.isdigit():
        raise Refused(f"{asked} is the number of a project: it wants the ID", 1)
    unknown = given.configuration not in (None, "", "default")
    if unknown or world["faults"].get(service) == "no_credentials":
        said = f"ERROR: (gcloud.{service}.instances.{verb}) {NO_CREDENTIALS}\n"
        return "", (_no_configuration(given) if unknown else "") + said, 1
    if given.project in world["projects"]:
        world["project"], world["services"] = given.project, world["projects"][given.project]
    elif given.project != world["project"]:
        world["faults"][service] = "denied"
    fault = str(world["faults"].get(service))
    time.sleep(SECONDS.get(fault, 0))
    if fault == "killed":
        return "", "", -signal.SIGKILL
    if verb == "stop":
        return stop(world, given.project, given.zone, name)
    if verb == "describe":
        return describe(world, service, name, given)
    answered = listing(world, service, given)
    return ("", "", 0) if fault == "silent" else answered


def _no_configuration(given: argparse.Namespace) -> str:
    """Return gcloud's warning of a configuration that is not there; NONE is a word for none."""
    if given.configuration == "NONE":
        return ""
    folder = os.environ.get("CLOUDSDK_CONFIG", "~/.config/gcloud")
    path = f"{folder}/configurations/config_{given.configuration}"
    return f"WARNING: Could not open the configuration file: [{path}].\n"


def _no_project(given: str) -> str:
    """Return gcloud's words for what cannot be a project."""
    must = "The project property must be set to a valid project ID,"
    if not given:
        return "The project property is set to the empty string, which is invalid."
    if any(char.isupper() or char.isspace() for char in given):
        return f"{must} not the project name [{given}]"
    return f"{must} [{given}] is not a valid project ID."


def read_copy(path: Path, copy: Path) -> dict[str, Any]:
    """Return the world of a YAML file; from a copy in JSON, where there is one of the same text.

    To import YAML and to read the world would take a third of each call.

    Args:
        path: the world's file.
        copy: written where it is not there, or of another text.

    Raises:
        ValueError: the file is no world; the message is one sentence.
        OSError: a file cannot be read or written.
    """
    text = path.read_text(encoding="utf-8")
    with suppress(FileNotFoundError, TypeError, ValueError):
        of, world = json.loads(copy.read_text(encoding="utf-8"))
        if of == text:
            return dict(world)
    read = read_world(path)
    try:
        made = json.dumps([text, read], default=str)  # YAML has dates
    except (TypeError, ValueError):
        return read  # it has what JSON cannot hold, such as a date as a key
    new = copy.with_suffix(f".{os.getpid()}")
    new.write_text(made, encoding="utf-8")
    new.replace(copy)  # another call may read it now
    return dict(json.loads(made)[1])


def main() -> int:
    """Answer the command line: the world's file, a file of faults, then gcloud's own words."""
    faults = Path(sys.argv[2])
    stopped = faults.with_name("stopped.txt")
    try:
        world = read_copy(Path(sys.argv[1]), faults.with_name("world.json"))
        world["faults"] |= json.loads(faults.read_text(encoding="utf-8"))
        world["stopped"] = stopped.read_text("utf-8").split() if stopped.exists() else []
    except (OSError, ValueError) as error:
        sys.stderr.write(f"ERROR: (gcloud) the stand-in cannot read its world: {error}\n")
        return 1
    before = len(world["stopped"])
    stdout, stderr, status = answer(world, sys.argv[3:])
    with stopped.open("a", encoding="utf-8") as file:
        file.writelines(f"{link}\n" for link in world["stopped"][before:])
    sys.stderr.write(stderr)
    sys.stdout.write(stdout)
    if status < 0:  # a signal, as Python writes it
        os.kill(os.getpid(), -status)
    return status
