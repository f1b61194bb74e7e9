"""The GCP services of a YAML world: what is known of each, and what its list API answers with."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from .formats import Object, as_text, get, parse_key

FAULTS = ("denied", "no_credentials", "slow", "hanging", "empty", "silent", "killed")
ZONE = "us-central1-a"  # where an instance is that says nothing of it
SPANNER_CONFIG = "regional-us-central1"
COMPUTE = "https://www.googleapis.com/compute/v1/projects"

Instance = dict[str, Any]  # as a world's file has it


path_of = cache(parse_key)


class Service(NamedTuple):
    """All that is known of one GCP service.

    Attributes:
        title: as people call it.
        in_talk: the talk's DAGs list it; an exercise adds Filestore.
        sorts_table: by name; the other tables keep the API's order.
        refusal: the words of the API, which gcloud repeats; {0} is the project. From the
            documentation of the API, not from a real refusal; so is `missing`.
        missing: the same where there is no such instance; {1} is the zone, {2} the instance.
        columns: of gcloud's table: the head, and the key of the API's object, "" where
            `for_table` alone makes the cell.
        as_api: makes the API's object, for a project's name and an instance of a world.
        shown: what gcloud makes of the API's object.
        for_table: cells that a function makes.
        by_zone: the API goes through zone after zone.
        in_zone: an instance is named with its zone.
        http_refusal: refused with the status of HTTP.
        limits_first: gcloud cuts off at --limit before it filters and sorts.
        loses: a part of it may not answer, and the rest is listed with status 0.
        malformed: the key of the first object that may be null in the API's answer.
        short: the keys of which a table shows the last part.
        not_filtered: the heads of columns with which gcloud's --filter crashes.
    """

    title: str
    in_talk: bool
    sorts_table: bool
    refusal: str
    missing: str
    columns: dict[str, str]
    as_api: Callable[[str, Instance], Object]
    shown: Callable[[Object], Object] = lambda api: api
    for_table: Callable[[Object], dict[str, str]] = lambda api: {}
    by_zone: bool = False
    in_zone: bool = False
    http_refusal: bool = False
    limits_first: bool = False
    loses: bool = False
    malformed: str = ""
    short: tuple[str, ...] = ("name",)
    not_filtered: tuple[str, ...] = ()

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults that it can have."""
        own = {"partial": self.loses, "malformed": self.malformed}
        return (*FAULTS, *filter(own.get, own))

    def cell(self, api: Object, head: str) -> str:
        """Return what the table of a list shows of an object, as gcloud has it, under a head."""
        made = self.for_table(api)
        if head in made:
            return made[head]
        key = self.columns[head]
        text = as_text(get(api, path_of(key))) if key else ""
        return last(text) if key in self.short else text


def last(path: str) -> str:
    """Return the last part of a path."""
    return path.rsplit("/", 1)[-1]


def zone_of(api: Object) -> str:
    """Return the zone or location of an instance that has one."""
    return last(api["zone"]) if "zone" in api else str(api["name"].split("/")[3])


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


def sql_cells(api: Object) -> dict[str, str]:
    """Return where a database is, and its addresses."""
    listed = {it["type"]: it["ipAddress"] for it in api.get("ipAddresses", [])}
    addresses = {f"{kind}_ADDRESS": listed.get(kind, "-") for kind in ("PRIMARY", "PRIVATE")}
    return {"LOCATION": api["gceZone"], **addresses}


def sql_shown(api: Object) -> Object:
    """Return a database as gcloud shows it: one that is never activated is stopped; no null."""
    never = (api["settings"] or {}).get("activationPolicy") == "NEVER"
    api = {key: value for key, value in api.items() if value is not None}
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


def compute_cells(api: Object) -> dict[str, str]:
    """Return a machine's addresses, and whether it is preemptible."""
    interface = api["networkInterfaces"][0]
    access = interface.get("accessConfigs")
    return {
        "PREEMPTIBLE": "true" if api["scheduling"]["preemptible"] else "",
        "INTERNAL_IP": interface["networkIP"],
        "EXTERNAL_IP": access[0]["natIP"] if access else "",
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


def filestore_cells(api: Object) -> dict[str, str]:
    """Return where a Filestore is, and since when."""
    return {"LOCATION": zone_of(api), "CREATE_TIME": api["createTime"][:19]}


SERVICES = {
    "sql": Service(
        title="Cloud SQL",
        in_talk=True,
        sorts_table=False,
        limits_first=True,
        loses=True,
        malformed="settings",
        refusal="The client is not authorized to make this request.",
        missing="The Cloud SQL instance does not exist.",
        columns={
            "NAME": "name",
            "DATABASE_VERSION": "databaseVersion",
            "LOCATION": "",
            "TIER": "settings.tier",
            "PRIMARY_ADDRESS": "",
            "PRIVATE_ADDRESS": "",
            "STATUS": "state",
        },
        as_api=sql_api,
        shown=sql_shown,
        for_table=sql_cells,
    ),
    "spanner": Service(
        title="Spanner",
        in_talk=True,
        sorts_table=False,
        loses=True,
        refusal="Caller is missing IAM permission spanner.instances.list on resource projects/{0}.",
        missing="Instance not found: projects/{0}/instances/{2}",
        columns={
            "NAME": "name",
            "DISPLAY_NAME": "displayName",
            "CONFIG": "config",
            "NODE_COUNT": "nodeCount",
            "PROCESSING_UNITS": "processingUnits",
            "STATE": "state",
            "INSTANCE_TYPE": "",
        },
        short=("name", "config"),
        as_api=spanner_api,
    ),
    "bigtable": Service(
        title="BigTable",
        in_talk=True,
        sorts_table=True,
        loses=True,
        refusal="Access denied. Missing IAM permission: bigtable.instances.list.",
        missing="Instance projects/{0}/instances/{2} not found",
        columns={
            "NAME": "name",
            "DISPLAY_NAME": "displayName",
            "STATE": "state",
        },
        as_api=bigtable_api,
    ),
    "compute": Service(
        title="Compute Engine",
        in_talk=True,
        sorts_table=False,
        by_zone=True,
        in_zone=True,
        loses=True,
        refusal="Required 'compute.instances.list' permission for 'projects/{0}'",
        missing="The resource 'projects/{0}/zones/{1}/instances/{2}' was not found",
        columns={
            "NAME": "name",
            "ZONE": "zone",
            "MACHINE_TYPE": "machineType",
            "PREEMPTIBLE": "scheduling.preemptible",
            "INTERNAL_IP": "",
            "EXTERNAL_IP": "",
            "STATUS": "status",
        },
        short=("name", "zone", "machineType"),
        not_filtered=("MACHINE_TYPE",),
        as_api=compute_api,
        for_table=compute_cells,
    ),
    "filestore": Service(
        title="Filestore",
        in_talk=False,
        sorts_table=True,
        in_zone=True,
        http_refusal=True,
        limits_first=True,
        refusal="Permission 'file.instances.list' denied on 'projects/{0}/locations/-'",
        missing="Resource 'projects/{0}/locations/{1}/instances/{2}' was not found",
        columns={
            "INSTANCE_NAME": "name",
            "LOCATION": "",
            "TIER": "tier",
            "CAPACITY_GB": "fileShares[0].capacityGb",
            "FILE_SHARE_NAME": "fileShares[0].name",
            "IP_ADDRESS": "networks[0].ipAddresses[0]",
            "STATE": "state",
            "CREATE_TIME": "createTime",
        },
        as_api=filestore_api,
        for_table=filestore_cells,
    ),
}


def read_world(path: Path) -> dict[str, Any]:
    """Return the world of a YAML file, each service with its instances.

    Raises:
        ValueError: the file is no world; the message is one sentence with the line where known.
        OSError: it cannot be read.
    """
    import yaml  # not above: each call of the program would wait for it

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        world = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ValueError(f"{path.name}, line {line}: {error.problem}") from None
    if not isinstance(world, dict) or not isinstance(world.get("services"), dict):
        raise ValueError(f"{path.name}: a world has the keys 'project' and 'services'.")
    others = world.get("projects") or {}
    if not isinstance(others, dict) or not all(isinstance(it, dict) for it in others.values()):
        raise ValueError(f"{path.name}: 'projects' has services under the name of each project.")
    return {
        "project": str(world.get("project", "spy-demo")),
        "services": _services(path, world["services"]),
        "projects": {str(name): _services(path, listed) for name, listed in others.items()},
        "faults": world.get("faults") or {},
    }


def _services(path: Path, services: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the instances of each service of a project; raises as `read_world`."""
    for service, listed in services.items():
        if service not in SERVICES:
            known = ", ".join(SERVICES)
            raise ValueError(f"{path.name}: there is no service '{service}', only {known}.")
        for instance in listed or []:
            if not isinstance(instance, dict) or not isinstance(instance.get("name"), str):
                raise ValueError(f"{path.name}: each instance of {service} needs a name in text.")
    return {service: _repeated(services.get(service) or []) for service in SERVICES}


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
    if world["faults"].get(service) == "malformed":
        for api in objects[:1]:
            api[SERVICES[service].malformed] = None
    for api in objects:
        if api.get("selfLink") in world.get("stopped", ()):
            api["status"] = "TERMINATED"
    if SERVICES[service].by_zone:
        objects.sort(key=lambda api: (api["zone"], api["name"]))
    return objects


def lost(world: dict[str, Any], service: str, project: str) -> str:
    """Take out of a world what does not answer: the last zone of compute, else the last instance.

    Returns:
        The zone, or the instance as the API names it, "" where there was none.
    """
    listed = list_api(world, service, project)
    if SERVICES[service].by_zone:
        gone = last(listed[-1]["zone"]) if listed else ZONE
        kept = [it for it in world["services"][service] if it.get("zone", ZONE) != gone]
    else:
        gone = listed[-1]["name"] if listed else ""
        kept = world["services"][service][:-1]
    world["services"][service] = kept
    return gone
