"""The list APIs of Google Cloud services on loopback, for a real `gcloud`, from a world."""

import json
import subprocess
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from workshop.sandbox import gcloud
from workshop.sandbox.gcloud.program import ACCOUNT
from workshop.sandbox.gcloud.services import lost, short_name, zone_of
from workshop.sandbox.isolation import APIS


def refused(status: int, reason: str, message: str) -> tuple[int, dict[str, Any]]:
    """Return status and body of an API that refuses."""
    errors = [{"message": message, "domain": "global", "reason": reason}]
    return status, {"error": {"code": status, "message": message, "errors": errors}}


class GoogleApis:
    """Serve a world, read afresh for each request, as the lists that the APIs return."""

    def __init__(self, world: Path) -> None:
        self.world = world
        self.stopped: set[str] = set()  # links of machines
        self.operation: dict[str, Any] = {}  # the newest
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="apis", daemon=True).start()

    def environment(self, home: Path, program: str) -> dict[str, str]:
        """Return gcloud's variables, with its private folder in `home`, logged in as the spy."""
        api = f"http://127.0.0.1:{self._server.server_port}/"
        variables = {
            "CLOUDSDK_CONFIG": str(home / "gcloud"),
            "CLOUDSDK_AUTH_TOKEN_HOST": f"{api}token",
            "CLOUDSDK_CORE_PROJECT": gcloud.read_world(self.world)["project"],
            "CLOUDSDK_CORE_DISABLE_FILE_LOGGING": "1",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
            "CLOUDSDK_CORE_CHECK_GCE_METADATA": "0",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
            "HOME": str(home),
            "PATH": f"{Path(program).parent}:/usr/bin:/bin",
        }
        for name in gcloud.SERVICES:
            override = f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{APIS.get(name, name).upper()}"
            variables[override] = f"{api}{name}/"
        # A short key: gcloud tests it for being one, twice in each call.
        key = rsa.generate_private_key(public_exponent=65537, key_size=1024).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        account = {
            "type": "service_account",
            "client_email": ACCOUNT,
            "client_id": "1",
            "private_key_id": "1",
            "private_key": key.decode(),
            "token_uri": f"{api}token",
        }
        (home / "key.json").write_text(json.dumps(account), encoding="utf-8")
        login = [program, "auth", "activate-service-account", "--key-file", str(home / "key.json")]
        subprocess.run(login, env=variables, check=True, capture_output=True, timeout=600)
        return variables

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Return status and body of a list API for a request's path and query."""
        world = gcloud.read_world(self.world)
        service = path.split("/")[1]
        about = gcloud.SERVICES[service]
        project = path.split("/projects/")[1].split("/")[0]
        if world["faults"].get(service) == "denied" or project != world["project"]:
            return refused(403, "forbidden", about.refusal.format(project))
        partial = world["faults"].get(service) == "partial"
        gone = lost(world, service, project) if partial else ""
        instances = gcloud.list_api(world, service, project)
        where, _, name = path.partition("/instances")
        name = name.strip("/")
        zone = where.partition("/zones/")[2] or where.partition("/locations/")[2]
        if zone not in ("", "-"):
            instances = [it for it in instances if zone_of(it) == zone]
        if name:
            found = [it for it in instances if short_name(it) == name]
            missing = about.missing.format(project, zone, name)
            return (200, found[0]) if found else refused(404, "notFound", missing)
        size = int(query.get("maxResults") or query.get("pageSize") or len(instances) or 1)
        first = int(query.get("pageToken") or 0)
        page = instances[first : first + size]
        more: dict[str, Any] = (
            {"nextPageToken": str(first + size)} if first + size < len(instances) else {}
        )
        if not about.by_zone or zone:  # each of gcloud's clients takes the keys that it knows
            if gone:
                warning = {"code": "REGION_UNREACHABLE", "message": gone}
                more |= {"warnings": [warning], "unreachable": [gone], "failedLocations": [gone]}
            return 200, {"items": page, "instances": page, **more}
        scopes: dict[str, Any] = {}
        for it in page:
            it["status"] = "TERMINATED" if it["selfLink"] in self.stopped else it["status"]
            scope = f"zones/{it['zone'].rsplit('/', 1)[1]}"
            scopes.setdefault(scope, {"instances": []})["instances"].append(it)
        if gone:
            message = f"The zone '{gone}' is not reachable."
            scopes[f"zones/{gone}"] = {"warning": {"code": "UNREACHABLE", "message": message}}
        return 200, {"items": scopes, **more}

    def stop(self, path: str) -> tuple[int, dict[str, Any]]:
        """Stop a machine of compute; return status and body: an operation that is done already."""
        project, zone, name = path.split("/")[3], path.split("/")[5], path.split("/")[7]
        link = f"{gcloud.COMPUTE}/{project}/zones/{zone}"
        world = gcloud.read_world(self.world)
        if project != world["project"]:
            return refused(403, "forbidden", gcloud.SERVICES["compute"].refusal.format(project))
        machines = gcloud.list_api(world, "compute", project)
        if f"{link}/instances/{name}" not in [machine["selfLink"] for machine in machines]:
            message = gcloud.SERVICES["compute"].missing.format(project, zone, name)
            return refused(404, "notFound", message)
        self.stopped.add(f"{link}/instances/{name}")
        self.operation = {
            "kind": "compute#operation",
            "name": "operation-1",
            "operationType": "stop",
            "progress": 100,
            "selfLink": f"{link}/operations/operation-1",
            "status": "DONE",
            "targetLink": f"{link}/instances/{name}",
            "zone": link,
        }
        return 200, self.operation

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        apis = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urllib.parse.urlsplit(self.path)
                self.reply(*apis.answer(parts.path, dict(urllib.parse.parse_qsl(parts.query))))

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"] or 0))
                path = urllib.parse.urlsplit(self.path).path
                if path.endswith("/stop"):
                    return self.reply(*apis.stop(path))
                if path.endswith("/wait"):
                    return self.reply(200, apis.operation)
                self.reply(200, {"access_token": "spy", "expires_in": 3600, "token_type": "Bearer"})

            def reply(self, status: int, body: dict[str, Any]) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler
