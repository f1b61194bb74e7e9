"""Airflow's UI in JupyterLab: behind Jupyter's token, on loopback, with its redirects and paths."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from workshop.tests.sockets import listening

SECONDS = 900
BASE = "/user/anna/"
# It stands for Airflow: it gives a token for the password, redirects, and says what it was asked.
SMALL = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Small(BaseHTTPRequestHandler):
    def do_POST(self):
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        right = given["password"] == os.environ["GCPSPY_AIRFLOW_PASSWORD"]
        self.answer(201 if right else 401, json.dumps({"access_token": "t" + self.path}))

    def do_GET(self):
        if self.path.endswith("/old"):
            self.answer(307, "", Location=self.path[:-3] + "new?x=1")
        else:
            self.answer(200, f"{self.path} {self.headers.get('Authorization')}")

    def answer(self, status, text, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

HTTPServer(("127.0.0.1", int(sys.argv[1])), Small).serve_forever()
"""
IN_ITS_PLACE = """
import sys
from workshop.authoring.upkeep.jupyterlab import airflow_in_a_tab
small = {"command": [sys.executable, "small.py", "{port}"]}
c.ServerProxy.servers = {"airflow": airflow_in_a_tab() | small}
"""


class Jupyter:
    """A running Jupyter server, with its token and its process."""

    def __init__(self, url: str, token: str, process: psutil.Process) -> None:
        self.url, self.process = url, process
        self.key = {"Authorization": f"token {token}"}

    def get(self, path: str, key: dict[str, str] | None = None) -> requests.Response:
        headers = self.key if key is None else key
        url = f"{self.url}{path}"
        return requests.get(url, headers=headers, allow_redirects=False, timeout=SECONDS)


@contextmanager
def jupyter(folder: Path, config: str) -> Iterator[Jupyter]:
    """Run a Jupyter server as a JupyterHub does: its address has a path."""
    (folder / "jupyter_server_config.py").write_text(config, encoding="utf-8")
    log = folder / "jupyter.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "jupyter_server", "--allow-root", "--ServerApp.ip=127.0.0.1",
                f"--ServerApp.base_url={BASE}", f"--ServerApp.root_dir={folder}",
                "--ServerApp.open_browser=False",
            ],
            cwd=folder, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            env=os.environ | {"JUPYTER_CONFIG_DIR": str(folder), "HOME": str(folder)},
        )  # fmt: skip
    try:
        found, end = None, time.monotonic() + SECONDS
        while not found:
            assert process.poll() is None and time.monotonic() < end, log.read_text("utf-8")
            found = re.search(r"(http://127\.0\.0\.1:\d+)/\S*token=(\w+)", log.read_text("utf-8"))
            time.sleep(0.1)
        yield Jupyter(found[1] + BASE, found[2], psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(SECONDS)


def started_by(server: Jupyter) -> list[psutil.Process]:
    """Return what the launcher has started; other extensions of Jupyter start programs too."""
    children = server.process.children()
    return [child for child in children if child.cmdline()[1] in ("-c", "small.py")]


def test_the_launcher_opens_a_tab_behind_jupyters_token(tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text(SMALL, encoding="utf-8")
    with jupyter(tmp_path, IN_ITS_PLACE) as server:
        before = listening([server.process])
        entry = server.get("server-proxy/servers-info").json()["server_processes"][0]
        assert entry["launcher_entry"]["title"] == "Airflow"
        assert (entry["launcher_entry"]["path_info"], entry["new_browser_tab"]) == (
            "airflow/", False,
        )  # fmt: skip

        for key in ({}, {"Authorization": "token wrong"}):
            refused = server.get("airflow/", key)
            assert refused.status_code in (302, 403) and "Bearer" not in refused.text
        assert not started_by(server)  # nobody without the token starts anything

        answer = server.get("airflow/dags?x=1")
        assert (answer.status_code, answer.text) == (
            200, f"{BASE}airflow/dags?x=1 Bearer t{BASE}airflow/auth/token",
        )  # fmt: skip
        moved = server.get("airflow/old")
        assert (moved.status_code, moved.headers["Location"]) == (307, f"{BASE}airflow/new?x=1")
        (small,) = started_by(server)
        new = listening([server.process, small]) - before
        assert {address for address, _ in new} == {"127.0.0.1"}

        # A cluster's UI has a port of its own, and the same door.
        (port,) = {port for _, port in new}
        path = f"proxy/absolute/{port}/dags"
        assert server.get(path, {}).status_code in (302, 403)
        assert server.get(path).text.split()[0] == BASE + path
    assert not small.is_running()


@pytest.mark.weekly
def test_the_real_airflow_has_its_paths_behind_jupyter(tmp_path: Path) -> None:
    with jupyter(tmp_path, "") as server:
        assert server.get("airflow/", {}).status_code in (302, 403)
        page = server.get("airflow/")
        assert page.status_code == 200 and f'<base href="{BASE}airflow/"' in page.text
        assert server.get("airflow/ui/config").status_code == 200  # who is here is signed in
        login = server.get("airflow/api/v2/auth/login")
        assert (login.status_code, login.headers["Location"]) == (307, f"{BASE}airflow/auth/login")
        script = re.search(r'src="\./(static/\S+\.js)"', page.text)
        assert script and server.get(f"airflow/{script[1]}").status_code == 200
        (airflow,) = started_by(server)
        own = f"{airflow.cmdline()[-1]}/ui/config"
        assert own.startswith("http://127.0.0.1:")
        assert requests.get(own, timeout=SECONDS).status_code == 401
        family = [airflow, *airflow.children(recursive=True)]
    _, alive = psutil.wait_procs(family, timeout=SECONDS)
    assert not alive
