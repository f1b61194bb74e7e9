"""A stand-in for the `gcloud` program: it lists the instances of a YAML world, and stops machines.

Run as a program of its own, so it imports nothing of the workbook:
`python gcloud.py WORLD.yaml FAULTS.json sql instances list --format=json`. Which machines were
stopped stands in `stopped.txt` beside the faults; the world's file stays as it is. What the
stand-in prints, and where, and its exit status are those of Google Cloud CLI 528.0.0 for the same
objects; where a real one is installed, `workshop/tests/sandbox/test_real_gcloud.py` compares the
two byte for byte.
"""

import json
import os
import sys
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SECONDS = {"slow": 3, "hanging": 8}  # a real one may hang for ever
FAULTS = ("denied", "no_credentials", "slow", "hanging", "empty")
ACCOUNT = "spy@example.com"
AUTHENTICATED = (
    f"This command is authenticated as {ACCOUNT} which is the active account specified by the "
    "[core/account] property"
)
ZONE = "us-central1-a"  # where an instance is that says nothing of it
SPANNER_CONFIG = "regional-us-central1"
COMPUTE = "https://www.googleapis.com/compute/v1/projects"
NOT_FOUND = "The resource 'projects/{}/zones/{}/instances/{}' was not found"
NO_CREDENTIALS = """You do not currently have an active account selected.
Please run:

  $ gcloud auth login

to obtain new credentials.

If you have already logged in with a different account, run:

  $ gcloud config set account ACCOUNT

to select an already authenticated account to use."""


Instance = dict[str, Any]  # as a world's file has it
Object = dict[str, Any]  # an instance as an API answers with it
Answer = tuple[str, str, int]  # what a command prints on stdout and stderr, and its exit status


class Service(NamedTuple):
    """All that is known of one GCP service; services.yaml has it, and says what it means."""

    title: str
    in_talk: bool
    sorts_table: bool
    refusal: str
    columns: dict[str, str]
    as_api: Callable[[str, Instance], Object]  # for a project's name and an instance
    shown: Callable[[Object], Object] = lambda api: api  # what gcloud makes of an API's object
    for_table: Callable[[Object], Object] = lambda api: {}  # more values for the columns
    by_zone: bool = False
    http_refusal: bool = False

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults that it can have."""
        return (*FAULTS, "partial") if self.by_zone else FAULTS


def not_succeeded(why: str) -> tuple[str, int]:
    """Return stderr and exit status of compute where a part of its list could not be had."""
    if os.environ.get("CLOUDSDK_COMPUTE_ALLOW_PARTIAL_ERROR") == "false":
        error = "ERROR: (gcloud.compute.instances.list) Some requests did not succeed:"
        return f"{error}\n - {why}\n\n", 1
    return f"WARNING: Some requests did not succeed.\n - {why}\n\n", 0


def last(path: str) -> str:
    """Return the last part of a path."""
    return path.rsplit("/", 1)[-1]


def short_name(api: Object) -> str:
    """Return an instance's short name."""
    return last(api["name"])


def sql_api(project: str, it: Instance) -> Object:
    """Return an instance as Cloud SQL's API answers with it."""
    addresses = [("PRIMARY", it.get("address")), ("PRIVATE", it.get("privateAddress"))]
    state = it.get("state", "RUNNABLE")
    settings = {"tier": it.get("tier", "db-f1-micro")}
    listed = [{"ipAddress": ip, "type": kind} for kind, ip in addresses if ip]
    if state == "STOPPED":  # the API has no such state: gcloud derives it from the policy
        state, settings["activationPolicy"] = "RUNNABLE", "NEVER"
    return {
        "databaseVersion": it.get("databaseVersion", "MYSQL_5_7"),
        "gceZone": it.get("zone", ZONE),
        **({"ipAddresses": listed} if listed else {}),
        "kind": "sql#instance",
        "name": it["name"],
        "project": project,
        "settings": settings,
        "state": state,
    }


def sql_addresses(api: Object) -> Object:
    """Return the addresses that the table of databases shows."""
    listed = {it["type"]: it["ipAddress"] for it in api.get("ipAddresses", [])}
    return {"PRIMARY": "-", "PRIVATE": "-"} | listed


def sql_shown(api: Object) -> Object:
    """Return a database as gcloud shows it: one that is never activated is stopped."""
    never = api["settings"].get("activationPolicy") == "NEVER"
    return api | {"state": "STOPPED"} if never else api


def compute_api(project: str, it: Instance) -> Object:
    """Return an instance as Compute Engine's API answers with it."""
    zone = f"{COMPUTE}/{project}/zones/{it.get('zone', ZONE)}"
    interface = {"networkIP": it.get("internalIP", "10.128.0.2")}
    if it.get("externalIP"):
        interface["accessConfigs"] = [{"natIP": it["externalIP"]}]
    return {
        "kind": "compute#instance",
        "machineType": f"{zone}/machineTypes/{it.get('machineType', 'n1-standard-1')}",
        "name": it["name"],
        "networkInterfaces": [interface],
        "scheduling": {"preemptible": bool(it.get("preemptible"))},
        "selfLink": f"{zone}/instances/{it['name']}",
        "status": it.get("status", "RUNNING"),
        "zone": zone,
    }


def compute_words(api: Object) -> Object:
    """Return what the table of machines says of what only some have."""
    access = api["networkInterfaces"][0].get("accessConfigs")
    return {
        "preemptible": "true" if api["scheduling"]["preemptible"] else "",
        "external": access[0]["natIP"] if access else "",
    }


def spanner_api(project: str, it: Instance) -> Object:
    """Return an instance as Spanner's API answers with it."""
    return {
        "config": f"projects/{project}/instanceConfigs/{it.get('config', SPANNER_CONFIG)}",
        "nodeCount": it.get("nodeCount", 1),
        "processingUnits": it.get("nodeCount", 1) * 1000,
        **bigtable_api(project, it),
    }


def bigtable_api(project: str, it: Instance) -> Object:
    """Return an instance as BigTable's API answers with it."""
    return {
        "displayName": it.get("displayName", it["name"]),
        "name": f"projects/{project}/instances/{it['name']}",
        "state": it.get("state", "READY"),
    }


def filestore_api(project: str, it: Instance) -> Object:
    """Return an instance as Filestore's API answers with it."""
    return {
        "createTime": "2018-11-05T09:30:00Z",
        "fileShares": [{"capacityGb": str(it.get("capacityGb", 1024)), "name": "share"}],
        "name": f"projects/{project}/locations/{it.get('zone', ZONE)}/instances/{it['name']}",
        "networks": [{"ipAddresses": [it.get("address", "10.0.0.2")]}],
        "state": it.get("state", "READY"),
        "tier": it.get("tier", "BASIC_HDD"),
    }


def filestore_location(api: Object) -> Object:
    """Return where a Filestore is: its name says it."""
    return {"location": api["name"].split("/")[3]}


FUNCTIONS: dict[str, dict[str, Any]] = {
    "sql": {"as_api": sql_api, "shown": sql_shown, "for_table": sql_addresses},
    "spanner": {"as_api": spanner_api},
    "bigtable": {"as_api": bigtable_api},
    "compute": {"as_api": compute_api, "for_table": compute_words},
    "filestore": {"as_api": filestore_api, "for_table": filestore_location},
}
LISTED = yaml.load(Path(__file__).with_name("services.yaml").read_text("utf-8"), Loader=LOADER)


def joined(listed: dict[str, Any], functions: dict[str, Any]) -> dict[str, Service]:
    """Return the services by name: what is data of each, and its functions.

    Raises:
        LookupError: one of the two lacks a service.
    """
    if lacking := ", ".join(sorted(set(listed) ^ set(functions))):
        raise LookupError(f"services.yaml and FUNCTIONS of gcloud.py do not agree on {lacking}.")
    return {name: Service(**about, **functions[name]) for name, about in listed.items()}


SERVICES = joined(LISTED, FUNCTIONS)


def read_world(path: Path) -> dict[str, Any]:
    """Return the world of a YAML file, each service with its instances.

    Raises:
        ValueError: the file is no world; the message is one sentence with the line where known.
        OSError: it cannot be read.
    """
    try:
        world = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ValueError(f"{path.name}, line {line}: {error.problem}") from None
    if not isinstance(world, dict) or not isinstance(world.get("services"), dict):
        raise ValueError(f"{path.name}: a world has the keys 'project' and 'services'.")
    for service, listed in world["services"].items():
        if service not in SERVICES:
            known = ", ".join(SERVICES)
            raise ValueError(f"{path.name}: there is no service '{service}', only {known}.")
        for instance in listed or []:
            if not isinstance(instance, dict) or not isinstance(instance.get("name"), str):
                raise ValueError(f"{path.name}: each instance of {service} needs a name in text.")
    services = {service: _repeated(world["services"].get(service) or []) for service in SERVICES}
    return {
        "project": str(world.get("project", "spy-demo")),
        "services": services,
        "faults": world.get("faults") or {},
    }


def _repeated(instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the instances, those with `repeat: N` N times, with the number in place of `{n}`."""
    return [
        {key: value for key, value in instance.items() if key != "repeat"}
        | {"name": instance["name"].replace("{n}", str(number))}
        for instance in instances
        for number in range(1, int(instance.get("repeat", 1)) + 1)
    ]


def list_api(world: dict[str, Any], service: str, project: str) -> list[Object]:
    """Return what the service's list API answers with."""
    objects = [SERVICES[service].as_api(project, it) for it in world["services"][service]]
    for api in objects:
        if api.get("selfLink") in world.get("stopped", ()):
            api["status"] = "TERMINATED"
    if SERVICES[service].by_zone:
        objects.sort(key=lambda api: (api["zone"], api["name"]))
    return objects


def table(service: str, objects: list[Object]) -> str:
    """Return gcloud's table: columns as wide as their widest cell, two blanks between them."""
    about = SERVICES[service]
    if about.sorts_table:
        objects = sorted(objects, key=short_name)
    rows = [api | about.for_table(api) | {"last": _last_parts(api)} for api in objects]
    columns = [
        _padded([head, *(cell.format_map(row) for row in rows)])
        for head, cell in about.columns.items()
    ]
    return "".join("  ".join(cells).rstrip() + "\n" for cells in zip(*columns, strict=True))


def _last_parts(api: Object) -> dict[str, str]:
    return {key: last(value) for key, value in api.items() if isinstance(value, str)}


def _padded(cells: list[str]) -> list[str]:
    """Return the cells of a column, all as wide as the widest."""
    width = max(map(_width, cells))
    return [cell + " " * (width - _width(cell)) for cell in cells]


def _width(text: str) -> int:
    """Return the columns that a text takes on a terminal."""
    return sum(
        0 if unicodedata.combining(char) or unicodedata.category(char) == "Cf"
        else 2 if unicodedata.east_asian_width(char) in "FW"
        else 1
        for char in unicodedata.normalize("NFC", text)
    )  # fmt: skip


def denied(service: str, project: str, output: str) -> Answer:
    """Return stdout, stderr and exit status of a list that the API answers with 403."""
    about = SERVICES[service]
    refusal = about.refusal.format(project)
    error = f"ERROR: (gcloud.{service}.instances.list)"
    listed = "[]\n" if output == "json" else ""
    if about.http_refusal:
        return "", f"{error} HTTPError 403: {refusal}. {AUTHENTICATED}\n", 1
    if about.by_zone:  # a warning and 0 unless told otherwise, so a pipeline takes it for empty
        said, status = not_succeeded(refusal)
        empty = "Listed 0 items.\n" if output == "table" and not status else ""
        return listed, said + empty, status
    said = (
        f"{error} [{ACCOUNT}] does not have permission to access projects instance [{project}] "
        f"(or it may not exist): {refusal} {AUTHENTICATED}.\n"
    )
    return listed, said, 1


def stop(world: dict[str, Any], project: str, zone: str, name: str) -> Answer:
    """Stop a machine; return stdout, stderr and exit status."""
    error = "ERROR: (gcloud.compute.instances.stop)"
    if not zone:
        return "", f"{error} Underspecified resource [{name}]. Specify the [--zone] flag.\n", 1
    link = f"{COMPUTE}/{project}/zones/{zone}/instances/{name}"
    if link not in [api["selfLink"] for api in list_api(world, "compute", project)]:
        missing = NOT_FOUND.format(project, zone, name)
        return "", f"{error} HTTPError 404: {missing}. {AUTHENTICATED}\n", 1
    world["stopped"].append(link)
    return "", f"Stopping instance(s) {name}...\n.....done.\nUpdated [{link}].\n", 0


def answer(world: dict[str, Any], arguments: list[str]) -> Answer:
    """Return what the command prints on stdout and on stderr, and its exit status."""
    words, flags = [], {"--project": world["project"], "--format": "table", "--zone": ""}
    rest = iter(arguments)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag in flags:
            flags[flag] = value if equals else next(rest, "")
        else:
            words.append(word)
    project, output, zone = flags.values()
    if words[:3] == ["compute", "instances", "stop"] and len(words) == 4:
        return stop(world, project, zone, words[3])
    if words in (["config", "get-value", "project"], ["config", "get", "project"]):
        return f"{project}\n", "", 0
    known = len(words) == 3 and words[0] in SERVICES and words[1:] == ["instances", "list"]
    if not known or output not in ("table", "json", "value(name)"):
        return "", (
            "ERROR: (gcloud) This is the workbook's stand-in for gcloud. It knows "
            f"'gcloud SERVICE instances list' for {', '.join(SERVICES)}, with --project, "
            "--format=json and --format='value(name)', 'gcloud compute instances stop NAME "
            "--zone=ZONE', and 'gcloud config get-value project'.\n"
        ), 2  # fmt: skip
    service = words[0]
    fault = world["faults"].get(service)
    if fault == "denied":
        return denied(service, project, output)
    if fault == "no_credentials":
        return "", f"ERROR: (gcloud.{service}.instances.list) {NO_CREDENTIALS}\n", 1
    time.sleep(SECONDS.get(str(fault), 0))
    if fault == "empty":
        world["services"][service] = []
    said, status = "", 0
    if fault == "partial":
        said, status = not_succeeded(unreachable(world, service, project))
    objects = [SERVICES[service].shown(api) for api in list_api(world, service, project)]
    if output == "json":
        out = json.dumps(objects, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        return out, said, status
    if output == "value(name)":
        return "".join(short_name(api) + "\n" for api in objects), said, status
    if not objects:
        return "", f"{said}Listed 0 items.\n", status
    return table(service, objects), said, status


def unreachable(world: dict[str, Any], service: str, project: str) -> str:
    """Take the machines of the last zone out of a world, and return what the API says of it."""
    listed = list_api(world, service, project)
    zone = last(listed[-1]["zone"]) if listed else ZONE
    world["services"][service] = [
        it for it in world["services"][service] if it.get("zone", ZONE) != zone
    ]
    return f"The zone '{zone}' is not reachable."


def main() -> int:
    """Answer the command line: the world's file, a file of faults, then gcloud's own words."""
    faults = Path(sys.argv[2])
    stopped = faults.with_name("stopped.txt")
    try:
        world = read_world(Path(sys.argv[1]))
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
    return status


if __name__ == "__main__":
    sys.exit(main())
