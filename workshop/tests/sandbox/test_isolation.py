"""The sandbox's walls: nothing of the reader's is reached, wherever a command runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workshop import sandbox, show
from workshop.ground import BUILD, Problem
from workshop.lab import dagcell
from workshop.sandbox import isolation
from workshop.sandbox.children import sitecustomize
from workshop.sandbox.world import Sandbox
from workshop.tests.lab.test_lab import START, Kernel
from workshop.tests.sandbox.tools import ask

HEAD = """\
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
with DAG("walls") as walls:
"""
PROGRAM = '#!/bin/sh\necho "mine: $CLOUDSDK_CONFIG"\necho called >> "$0.calls"\n'


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Return a folder with a gcloud that stands for the reader's own; it notes its calls."""
    folder = tmp_path / "the reader's"
    folder.mkdir()
    (folder / "gcloud").write_text(PROGRAM, encoding="utf-8")
    (folder / "gcloud").chmod(0o755)
    return folder


@pytest.fixture
def box(lab: Any, mine: Path, monkeypatch: Any) -> Sandbox:
    """Return the sandbox of a reader on whose PATH that gcloud comes first."""
    from workshop.lab import current

    box = current()[Sandbox]
    with_mine = [str(mine), *box.folders]
    monkeypatch.setattr(box, "folders", with_mine)
    monkeypatch.setenv("PATH", os.pathsep.join(with_mine))
    sandbox.enter("talk")
    return box


def printed(options: str, command: str) -> str:
    """Return what a task with these options, whose command is this one, prints last."""
    names: dict[str, Any] = {}
    source = f"{HEAD}    BashOperator(task_id='t', bash_command={command!r}{options})\n"
    dagcell.write("walls", source, names)
    run = names["walls"].test()
    assert run.state == "success"
    return str(show.xcoms(run)["value"].iloc[0])


@pytest.mark.parametrize("path", [None, "{mine}:/usr/bin:/bin"])
@pytest.mark.parametrize("command", ["command -v gcloud", "gcloud config get-value project"])
def test_a_task_with_variables_of_its_own_finds_the_stand_in(
    box: Sandbox, mine: Path, path: str | None, command: str
) -> None:
    own = {"COLOUR": "red"} | ({"PATH": path.format(mine=mine)} if path else {})
    assert box.programs
    right = {"command -v gcloud": str(box.programs.folder / "gcloud")}.get(command, "spy-demo")
    assert printed(f", env={own}", command) == right
    assert printed(f", env={own}", 'echo "$COLOUR"') == "red"
    assert not (mine / "gcloud.calls").exists()


def test_a_child_of_a_python_task_finds_the_stand_in(box: Sandbox, mine: Path) -> None:
    names: dict[str, Any] = {}
    source = (
        "import subprocess\nfrom airflow.sdk import dag, task\n@task\ndef t():\n"
        f"    return subprocess.check_output('gcloud config get-value project', shell=True,\n"
        f"                                   env={{'PATH': {str(mine)!r}}}, text=True)\n"
        "@dag\ndef walls():\n    t()\nwalls = walls()\n"
    )
    dagcell.write("walls", source, names)
    assert show.xcoms(names["walls"].test())["value"].iloc[0] == "spy-demo\n"


def test_no_gcloud_is_left_for_a_task_with_variables_of_its_own(box: Sandbox, mine: Path) -> None:
    sandbox.set_faults({"gcloud": "missing"})
    own = {"PATH": f"{mine}:/usr/bin:/bin"}
    assert printed(f", env={own}", "command -v gcloud || echo none") == "none"


FINDS = """\
import subprocess
asked = "echo $(gcloud config get-value project 2>&1) $CLOUDSDK_PROXY_PORT"
none = {name: b"/nowhere" for name in [b"CLOUDSDK_CONFIG", "CLOUDSDK_PROXY_PORT"]}
for env in [{"COLOUR": "red"}, {"PATH": "{mine}:/usr/bin:/bin"}, {b"PATH": b"{mine}:/bin"}, none]:
    print(subprocess.check_output(asked, shell=True, env=env, text=True), end="")
words = (asked, -1, None, None, -1, None, None, True, True, None, {"PATH": "{mine}"})
with subprocess.Popen(*words, text=True) as child:
    print(child.stdout.read(), end="")
"""
FROM_HOOK = """
from airflow.providers.standard.hooks.subprocess import SubprocessHook
hook = SubprocessHook().run_command(["bash", "-c", asked], env={"PATH": "{mine}:/bin"})
print(hook.output)
"""


def test_a_plain_cell_with_variables_of_its_own_finds_the_stand_in(
    mine: Path, tmp_path: Path
) -> None:
    cell = (FINDS + FROM_HOOK).replace("{mine}", str(mine))
    kernel = Kernel(tmp_path, PATH=f"{mine}:{os.environ['PATH']}", **READERS)
    said = kernel.run(START + cell)
    kernel.close()
    assert said.splitlines()[-6:] == ["spy-demo 9"] * 6
    assert not (mine / "gcloud.calls").exists()


@pytest.mark.parametrize("kind", ["missing", None])
def test_so_does_each_process_of_a_cluster(box: Sandbox, mine: Path, kind: str | None) -> None:
    sandbox.set_faults({"gcloud": kind})
    child = subprocess.run(
        [sys.executable, "-c", FINDS.replace("{mine}", str(mine))],
        env=sandbox.handed_on(), capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    lines = child.stdout.splitlines()
    assert len(lines) == 5, child.stderr
    assert all(("not found 9" if kind else "spy-demo 9") in line for line in lines)
    assert not (mine / "gcloud.calls").exists()


def test_each_wall_is_kept_around_a_child(tmp_path: Path) -> None:
    assert all(name.startswith(sitecustomize.WALLS) for name in isolation.walls(tmp_path))
    assert not any(name.startswith("CLOUDSDK_CORE_PROJECT") for name in sitecustomize.WALLS)


def test_what_a_login_shell_finds_has_no_account(
    box: Sandbox, mine: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """Its files set PATH anew, on Debian those of the system do."""
    (tmp_path / ".bash_profile").write_text(f'PATH="{mine}:$PATH"\n', encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    said = printed("", "bash -lc 'gcloud sql instances list'")
    assert said == f"mine: {box.home / 'gcloud'}"
    assert list((box.home / "gcloud").iterdir()) == []


def test_where_the_temporary_folder_runs_no_programs_another_does(
    box: Sandbox, mine: Path, monkeypatch: Any
) -> None:
    runs = isolation.runs_programs
    monkeypatch.setattr(
        isolation, "runs_programs", lambda folder: folder.parent != box.home and runs(folder)
    )
    monkeypatch.setattr(box, "programs", None)
    sandbox.enter("talk")
    assert box.programs
    folder = box.programs.folder
    try:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert box.home not in folder.parents
        assert shutil.which("gcloud") == str(folder / "gcloud")
        assert ask("config", "get-value", "project")[0] == "spy-demo\n"
        assert not (mine / "gcloud.calls").exists()
    finally:
        shutil.rmtree(folder)


def test_where_no_folder_runs_programs_one_sentence_says_so(
    box: Sandbox, mine: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(isolation, "runs_programs", lambda folder: False)
    monkeypatch.setattr(box, "programs", None)
    kept = set(BUILD.glob("gcp_spy-*"))
    with pytest.raises(Problem, match="Set TMPDIR to a folder of yours that does") as raised:
        sandbox.enter("talk")
    assert len(str(raised.value).splitlines()) == 1
    assert not (mine / "gcloud.calls").exists()
    for folder in set(BUILD.glob("gcp_spy-*")) - kept:
        shutil.rmtree(folder)


def test_a_folder_that_cannot_run_is_told_from_one_that_can(
    tmp_path: Path, monkeypatch: Any
) -> None:
    assert isolation.runs_programs(tmp_path)
    monkeypatch.setattr(Path, "chmod", lambda path, mode: None)  # so its file cannot be run
    assert not isolation.runs_programs(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_walls_have_the_names_that_gcloud_and_google_s_libraries_read(tmp_path: Path) -> None:
    """Each as `gcloud topic configurations` and google-auth spell it."""
    apis = ("SQL", "SPANNER", "BIGTABLEADMIN", "COMPUTE", "FILE")
    over = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}": "http://127.0.0.1:9/" for api in apis}
    assert isolation.walls(tmp_path) == over | {
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "true",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        "CLOUDSDK_PROXY_TYPE": "http",
        "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
        "CLOUDSDK_PROXY_PORT": "9",
        "GCE_METADATA_HOST": "127.0.0.1:9",
        "GCE_METADATA_IP": "127.0.0.1:9",
        "GCE_METADATA_ROOT": "127.0.0.1:9",
    }


def test_what_is_real_is_forgotten_once_and_what_a_cell_sets_later_stays(
    tmp_path: Path, own_environment: None
) -> None:
    servers = {"GCPSPY_POSTGRES": "postgresql://a:b@c", "GCPSPY_REDIS": "redis://:b@c"}
    kept = {"AIRFLOW_VAR_COLOUR": "green", "GCPSPY_WORLD": "real", "COLOUR": "red"} | servers
    os.environ.update(READERS | kept | {"CLOUDSDK_CONFIG": "/home/ada/.config/gcloud"})
    isolation.build_walls(tmp_path)
    left = {name: os.environ.get(name) for name in READERS | kept}
    assert left == dict.fromkeys(READERS) | kept | {"GCE_METADATA_HOST": "127.0.0.1:9"}
    assert not servers.keys() & isolation.sandbox_environment().keys(), "no child is told of them"
    assert (tmp_path / "gcloud").stat().st_mode & 0o777 == 0o700
    os.environ["GCPSPY_COLOUR"] = "blue"
    isolation.build_walls(tmp_path)
    assert os.environ["GCPSPY_COLOUR"] == "blue"


def test_what_is_found_in_place_of_the_stand_in_is_named(
    box: Sandbox, mine: Path, monkeypatch: Any
) -> None:
    begins = "The sandbox does not hold, so nothing runs here: "
    ends = "in place of the stand-in. Restart the kernel, and run the notebook from its top."
    for path, found in (("/nowhere", "no gcloud"), (mine, mine / "gcloud")):
        monkeypatch.setenv("PATH", str(path))
        with pytest.raises(Problem) as raised:
            isolation.ask(box.home, lambda found: False)
        assert str(raised.value) == f"{begins}PATH finds {found} {ends}"


OTHERS = {
    "PATH": "{mine}:/usr/bin:/bin",
    "BASH_FUNC_gcloud%%": "() {{ echo mine; }}",
    "GCPSPY_SLACK_WEBHOOK": "https://hooks.example.com/services/T1/B1/secret",
    "AIRFLOW_CONN_SMTP_DEFAULT": "smtp://ada:secret@mail.example.com:587",
    "AIRFLOW_CONN_SLACK_DEFAULT": '{{"conn_type": "slackwebhook", "password": "T1/B1/secret"}}',
    "CLOUDSDK_CONFIG": "{mine}",
    "CLOUDSDK_PROXY_ADDRESS": "proxy.example.com",
    "GCE_METADATA_HOST": "metadata.example.com",
    "no_proxy": "intranet.example.com",
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_run_is_refused_when_a_cell_opened_a_wall(
    box: Sandbox, mine: Path, monkeypatch: Any, name: str
) -> None:
    monkeypatch.setenv(name, OTHERS[name].format(mine=mine))
    with pytest.raises(Problem, match="The sandbox does not hold") as raised:
        printed("", "true")
    about = "bash finds" if "FUNC" in name else name.upper()
    assert about in str(raised.value)
    assert "Restart the kernel" in str(raised.value)
    assert "secret" not in str(raised.value)
    assert not (mine / "gcloud.calls").exists()


@pytest.mark.parametrize("name", isolation.ADDRESSES)
def test_a_run_is_refused_when_a_cell_took_an_address_away(
    box: Sandbox, monkeypatch: Any, name: str
) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(Problem, match=f"the variable {name} names no stand-in"):
        isolation.ask(box.home, lambda found: True)


@pytest.mark.parametrize(
    "connection",
    [
        "smtp://127.0.0.1:2525",
        '{"conn_type": "smtp", "host": "127.0.0.1"}',
        '{"conn_type": "slackwebhook", "password": "http://127.0.0.1:8000/services/T/B/x"}',
    ],
)
def test_another_address_of_this_machine_is_no_hole(
    box: Sandbox, monkeypatch: Any, connection: str
) -> None:
    kind = "SLACK" if "slack" in connection else "SMTP"
    monkeypatch.setenv(f"AIRFLOW_CONN_{kind}_DEFAULT", connection)
    assert printed("", "echo fine") == "fine"


def test_a_gcloud_that_a_learner_made_is_no_hole(
    box: Sandbox, mine: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    fake = tmp_path / "fake"
    shutil.copytree(mine, fake)
    monkeypatch.setenv("PATH", f"{fake}{os.pathsep}{os.environ['PATH']}")
    assert printed("", "gcloud") == f"mine: {box.home / 'gcloud'}"


def test_another_way_to_the_reader_s_gcloud_is_a_hole(
    box: Sandbox, mine: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    link = tmp_path / "link"
    link.symlink_to(mine)
    monkeypatch.setenv("PATH", f"{link}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(Problem, match="PATH finds"):
        printed("", "gcloud")
    assert not (mine / "gcloud.calls").exists()


READERS = {
    "CLOUDSDK_AUTH_ACCESS_TOKEN": "secret",
    "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": "/home/ada/key.json",
    "GOOGLE_APPLICATION_CREDENTIALS": "/home/ada/key.json",
    "GCE_METADATA_HOST": "metadata.example.com",
    "GCPSPY_SLACK_WEBHOOK": "https://hooks.example.com/services/T1/B1/secret",
    "BASH_ENV": "/home/ada/.bash_env",
    "BASH_FUNC_gcloud%%": "() { /opt/gcloud; }",
}
TELL = "import json, os\nprint(json.dumps(dict(os.environ)))\n"


def process(code: str, tmp_path: Path, **more: str) -> str:
    """Return what a new process prints that begins with the reader's variables."""
    environment = sandbox.sandbox_environment() | READERS | {"TMPDIR": str(tmp_path)} | more
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True,
        text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_reader_s_own_accounts_are_forgotten_even_where_the_start_fails(tmp_path: Path) -> None:
    code = (
        "from workshop import start\nfrom workshop.ground import Problem\n"
        f"try:\n    start('atlantis')\nexcept Problem:\n    pass\n{TELL}"
    )
    left = json.loads(process(code, tmp_path))
    for name, value in READERS.items():
        assert left.get(name) != value
    assert left["CLOUDSDK_CONFIG"].startswith(str(tmp_path))


@pytest.mark.parametrize(
    "variables",
    [
        {},  # papermill by hand, in a terminal
        {"JPY_SESSION_NAME": "03_list_instances.ipynb", "JPY_PARENT_PID": "{child}"},
        *(
            pytest.param(variables, marks=pytest.mark.weekly)
            for variables in (
                {"JPY_SESSION_NAME": "03_list_instances.ipynb"},  # of nobody knows whom
                {"JPY_PARENT_PID": "{me}"},
                {"JPY_SESSION_NAME": "03_list_instances.ipynb", "JPY_PARENT_PID": "none"},
            )
        ),
    ],
)
def test_the_real_world_opens_for_no_kernel_that_no_person_opened(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    inherits = os.environ | {"JPY_SESSION_NAME": "my.ipynb"}  # as papermill in a cell does
    with subprocess.Popen(["sleep", "600"], env=inherits) as child:
        pids = {"me": os.getpid(), "child": child.pid}
        asked = {name: value.format(**pids) for name, value in variables.items()}
        said = process(
            "from workshop import start\nstart('talk')\n", tmp_path, GCPSPY_WORLD="real", **asked
        )
        child.kill()
    assert said.startswith("Sandbox, world 'talk'")
    assert "GCPSPY_WORLD=real was not followed" in said


REAL = shutil.which("gcloud")  # asked on import, before a sandbox puts its own on PATH


def test_the_sandbox_holds_outside_a_notebook_too(tmp_path: Path) -> None:
    """As `make airflow` and `make bench` enter it."""
    code = "from pathlib import Path\nfrom workshop import sandbox\n"
    said = process(f"{code}print(sandbox.enter('talk', Path.cwd()))", tmp_path)
    assert said.startswith("Sandbox, world 'talk'")


@pytest.mark.weekly
@pytest.mark.skipif(not REAL, reason="no real gcloud is installed: the walls were not tried on one")
@pytest.mark.parametrize("token", [{}, {"CLOUDSDK_AUTH_ACCESS_TOKEN": "made-up"}])
def test_a_real_gcloud_reaches_nothing(box: Sandbox, token: dict[str, str]) -> None:
    """Even one with an account: the address that it calls is the port that nobody listens on."""
    services = ("sql", "spanner") if token else tuple(sandbox.SERVICES)
    for service in services:
        done = subprocess.run(
            [str(REAL), service, "instances", "list", "--project=spy-demo"],
            env=os.environ | token, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode != 0
        assert done.stdout == ""
        why = "port=9" if token else "You do not currently have an active account selected."
        assert why in done.stderr
