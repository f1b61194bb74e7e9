"""A stand-in for the `gcloud` program: it lists the instances of a YAML world, and stops machines.

Run as a program of its own, so it imports nothing of the workbook:
`python gcloud.py WORLD.yaml FAULTS.json sql instances list --format=json`. Which machines were
stopped stands in `stopped.txt` beside the faults; the world's file stays as it is. What the
stand-in prints, and where, and its exit status are those of Google Cloud CLI 528.0.0 for the same
objects; where a real one is installed, `workshop/tests/test_real_gcloud.py` compares the two byte
for byte.
"""

import json
import os
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SLOW_SECONDS = 3
HANGING_SECONDS = 8  # a real one may hang for ever
ACCOUNT = "spy@example.com"
# The words of the APIs, which gcloud repeats; from their documentation, not from a real refusal.
REFUSALS = {
    "sql": "The client is not authorized to make this request.",
    "spanner": "Caller is missing IAM permission spanner.instances.list on resource projects/{}.",
    "bigtable": "Access denied. Missing IAM permission: bigtable.instances.list.",
    "compute": "Required 'compute.instances.list' permission for 'projects/{}'",
    "filestore": "Permission 'file.instances.list' denied on 'projects/{}/locations/-'",
}
AUTHENTICATED = (
    f"This command is authenticated as {ACCOUNT} which is the active account specified by the "
    "[core/account] property"
)
COMPUTE = "https://www.googleapis.com/compute/v1/projects"
NOT_FOUND = "The resource 'projects/{}/zones/{}/instances/{}' was not found"
COLUMNS = {
    "sql": ("NAME", "DATABASE_VERSION", "LOCATION", "TIER", "PRIMARY_ADDRESS", "PRIVATE_ADDRESS",
            "STATUS"),
    "spanner": ("NAME", "DISPLAY_NAME", "CONFIG", "NODE_COUNT", "PROCESSING_UNITS", "STATE",
                "INSTANCE_TYPE"),
    "bigtable": ("NAME", "DISPLAY_NAME", "STATE"),
    "compute": ("NAME", "ZONE", "MACHINE_TYPE", "PREEMPTIBLE", "INTERNAL_IP", "EXTERNAL_IP",
                "STATUS"),
    # Not in the talk: an exercise adds it.
    "filestore": ("INSTANCE_NAME", "LOCATION", "TIER", "CAPACITY_GB", "FILE_SHARE_NAME",
                  "IP_ADDRESS", "STATE", "CREATE_TIME"),
}  # fmt: skip
NO_CREDENTIALS = """You do not currently have an active account selected.
Please run:

  $ gcloud auth login

to obtain new credentials.

If you have already logged in with a different account, run:

  $ gcloud config set account ACCOUNT

to select an already authenticated account to use."""


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
        if service not in COLUMNS:
            known = ", ".join(COLUMNS)
            raise ValueError(f"{path.name}: there is no service '{service}', only {known}.")
        for instance in listed or []:
            if not isinstance(instance, dict) or not isinstance(instance.get("name"), str):
                raise ValueError(f"{path.name}: each instance of {service} needs a name in text.")
    services = {service: _repeated(world["services"].get(service) or []) for service in COLUMNS}
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


def list_api(world: dict[str, Any], service: str, project: str) -> list[dict[str, Any]]:
    """Return what the service's list API answers with; compute's goes through zone after zone."""
    objects = [as_api(service, project, instance) for instance in world["services"][service]]
    if service == "compute":
        objects.sort(key=lambda api: (api["zone"], api["name"]))
        for api in objects:
            if api["selfLink"] in world.get("stopped", ()):
                api["status"] = "TERMINATED"
    return objects


def as_api(service: str, project: str, it: dict[str, Any]) -> dict[str, Any]:
    """Return an instance as the object that the service's list API answers with."""
    name = f"projects/{project}/instances/{it['name']}"
    if service == "sql":
        addresses = [("PRIMARY", it.get("address")), ("PRIVATE", it.get("privateAddress"))]
        state = it.get("state", "RUNNABLE")
        settings = {"tier": it.get("tier", "db-f1-micro")}
        listed = [{"ipAddress": ip, "type": kind} for kind, ip in addresses if ip]
        if state == "STOPPED":  # the API has no such state: gcloud derives it from the policy
            state, settings["activationPolicy"] = "RUNNABLE", "NEVER"
        return {
            "databaseVersion": it.get("databaseVersion", "MYSQL_5_7"),
            "gceZone": it.get("zone", "us-central1-a"),
            **({"ipAddresses": listed} if listed else {}),
            "kind": "sql#instance",
            "name": it["name"],
            "project": project,
            "settings": settings,
            "state": state,
        }
    if service == "spanner":
        nodes = it.get("nodeCount", 1)
        config = it.get("config", "regional-us-central1")
        return {
            "config": f"projects/{project}/instanceConfigs/{config}",
            "displayName": it.get("displayName", it["name"]),
            "name": name,
            "nodeCount": nodes,
            "processingUnits": nodes * 1000,
            "state": it.get("state", "READY"),
        }
    if service == "bigtable":
        return {
            "displayName": it.get("displayName", it["name"]),
            "name": name,
            "state": it.get("state", "READY"),
        }
    if service == "filestore":
        location = it.get("zone", "us-central1-a")
        return {
            "createTime": "2018-11-05T09:30:00Z",
            "fileShares": [{"capacityGb": str(it.get("capacityGb", 1024)), "name": "share"}],
            "name": f"projects/{project}/locations/{location}/instances/{it['name']}",
            "networks": [{"ipAddresses": [it.get("address", "10.0.0.2")]}],
            "state": it.get("state", "READY"),
            "tier": it.get("tier", "BASIC_HDD"),
        }
    zone = f"{COMPUTE}/{project}/zones/{it.get('zone', 'us-central1-a')}"
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


def shown(service: str, api: dict[str, Any]) -> dict[str, Any]:
    """Return an API's object as gcloud shows it: a database that is never activated is stopped."""
    if service == "sql" and api["settings"].get("activationPolicy") == "NEVER":
        return api | {"state": "STOPPED"}
    return api


def row(service: str, api: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of an instance in the table that gcloud prints."""
    name = _last(api["name"])
    if service == "sql":
        ips = {address["type"]: address["ipAddress"] for address in api.get("ipAddresses", [])}
        return (
            name, api["databaseVersion"], api["gceZone"], api["settings"]["tier"],
            ips.get("PRIMARY", "-"), ips.get("PRIVATE", "-"), api["state"],
        )  # fmt: skip
    if service == "spanner":
        return (
            name, api["displayName"], _last(api["config"]), str(api["nodeCount"]),
            str(api["processingUnits"]), api["state"], "",
        )  # fmt: skip
    if service == "bigtable":
        return name, api["displayName"], api["state"]
    if service == "filestore":
        share = api["fileShares"][0]
        return (
            name, api["name"].split("/")[3], api["tier"], share["capacityGb"], share["name"],
            api["networks"][0]["ipAddresses"][0], api["state"], api["createTime"].rstrip("Z"),
        )  # fmt: skip
    interface = api["networkInterfaces"][0]
    external = interface.get("accessConfigs", [{}])[0].get("natIP", "")
    return (
        name, _last(api["zone"]), _last(api["machineType"]),
        "true" if api["scheduling"]["preemptible"] else "", interface["networkIP"], external,
        api["status"],
    )  # fmt: skip


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def table(service: str, objects: list[dict[str, Any]]) -> str:
    """Return gcloud's table: columns as wide as their widest cell, two blanks between them."""
    if service in ("bigtable", "filestore"):
        objects = sorted(objects, key=lambda api: _last(api["name"]))
    rows = [COLUMNS[service], *(row(service, api) for api in objects)]
    widths = [max(_width(cells[column]) for cells in rows) for column in range(len(rows[0]))]
    lines = []
    for cells in rows:
        padded = [
            cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True)
        ]
        lines.append("  ".join(padded).rstrip() + "\n")
    return "".join(lines)


def _width(text: str) -> int:
    """Return the columns that a text takes on a terminal."""
    return sum(
        0 if unicodedata.combining(char) or unicodedata.category(char) == "Cf"
        else 2 if unicodedata.east_asian_width(char) in "FW"
        else 1
        for char in unicodedata.normalize("NFC", text)
    )  # fmt: skip


def denied(service: str, project: str, output: str) -> tuple[str, str, int]:
    """Return stdout, stderr and exit status of a list that the API answers with 403.

    compute warns and exits with 0 unless told otherwise, so that a pipeline takes it for empty.
    """
    nothing = "[]\n" if output == "json" else ""
    refusal = REFUSALS[service].format(project)
    if service == "compute":
        said, status = not_succeeded(refusal)
        listed = "Listed 0 items.\n" if output == "table" and not status else ""
        return nothing, said + listed, status
    error = f"ERROR: (gcloud.{service}.instances.list)"
    if service == "filestore":
        return "", f"{error} HTTPError 403: {refusal}. {AUTHENTICATED}\n", 1
    said = (
        f"{error} [{ACCOUNT}] does not have permission to access projects instance [{project}] "
        f"(or it may not exist): {refusal} {AUTHENTICATED}.\n"
    )
    return nothing, said, 1


def not_succeeded(why: str) -> tuple[str, int]:
    """Return stderr and exit status of compute where a part of its list could not be had."""
    if os.environ.get("CLOUDSDK_COMPUTE_ALLOW_PARTIAL_ERROR") == "false":
        error = "ERROR: (gcloud.compute.instances.list) Some requests did not succeed:"
        return f"{error}\n - {why}\n\n", 1
    return f"WARNING: Some requests did not succeed.\n - {why}\n\n", 0


def stop(world: dict[str, Any], project: str, zone: str, name: str) -> tuple[str, str, int]:
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


def answer(world: dict[str, Any], arguments: list[str]) -> tuple[str, str, int]:
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
    known = len(words) == 3 and words[0] in COLUMNS and words[1:] == ["instances", "list"]
    if not known or output not in ("table", "json", "value(name)"):
        return "", (
            "ERROR: (gcloud) This is the workbook's stand-in for gcloud. It knows "
            f"'gcloud SERVICE instances list' for {', '.join(COLUMNS)}, with --project, "
            "--format=json and --format='value(name)', 'gcloud compute instances stop NAME "
            "--zone=ZONE', and 'gcloud config get-value project'.\n"
        ), 2  # fmt: skip
    service = words[0]
    fault = world["faults"].get(service)
    if fault == "denied":
        return denied(service, project, output)
    if fault == "no_credentials":
        return "", f"ERROR: (gcloud.{service}.instances.list) {NO_CREDENTIALS}\n", 1
    if fault == "slow":
        time.sleep(SLOW_SECONDS)
    if fault == "hanging":
        time.sleep(HANGING_SECONDS)
    if fault == "empty":
        world["services"][service] = []
    said, status = "", 0
    if fault == "partial":
        said, status = not_succeeded(unreachable(world, service, project))
    objects = [shown(service, api) for api in list_api(world, service, project)]
    if output == "json":
        out = json.dumps(objects, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        return out, said, status
    if output == "value(name)":
        return "".join(_last(api["name"]) + "\n" for api in objects), said, status
    if not objects:
        return "", f"{said}Listed 0 items.\n", status
    return table(service, objects), said, status


def unreachable(world: dict[str, Any], service: str, project: str) -> str:
    """Take the machines of the last zone out of a world, and return what the API says of it."""
    listed = list_api(world, service, project)
    zone = _last(listed[-1]["zone"]) if listed else "us-central1-a"
    world["services"][service] = [
        it for it in world["services"][service] if it.get("zone", "us-central1-a") != zone
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
