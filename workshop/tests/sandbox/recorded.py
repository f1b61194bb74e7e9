"""What the real gcloud printed, in recorded.yaml; run as a program, this records it anew.

The file has a world, and groups of command lines, each group with the world's faults; to add a line
write its words alone, and run `.venv/bin/python -m workshop.tests.sandbox.recorded` where a real
gcloud is installed.
"""

import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from workshop.tests.sandbox.google_apis import GoogleApis
from workshop.tests.sandbox.real_gcloud import Forked, Printed

FILE = Path(__file__).with_suffix(".yaml")


def read() -> dict[str, Any]:
    """Return the file."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return content


def world(content: dict[str, Any], group: str) -> str:
    """Return the world of a group of command lines, as YAML."""
    return yaml.dump(content["world"] | {"faults": content["groups"][group]["faults"]})


def answers(content: dict[str, Any], group: str) -> Iterator[tuple[str, Printed]]:
    """Return command lines, and what was printed for each."""
    for it in content["groups"][group]["answers"]:
        yield it["line"], (it.get("out", ""), it.get("err", ""), it.get("status", 0))


def told(real: Forked, line: str, variables: dict[str, str]) -> Printed:
    """Return what the real gcloud prints for a command line, with no folder of this machine."""
    out, err, status = real.run(tuple(shlex.split(line)), variables)
    return out, err.replace(variables["CLOUDSDK_CONFIG"], "CONFIG"), status


def record(program: str) -> None:
    """Ask the real gcloud for each line of the file, and write down what it prints."""
    content = read()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "world.yaml").write_text(yaml.dump(content["world"]), encoding="utf-8")
        apis = GoogleApis(home / "world.yaml")
        variables = apis.environment(home, program)
        real = Forked(program, variables)
        content["version"] = real.run(("--version",), variables)[0].splitlines()[0]
        for group in content["groups"]:
            apis.world.write_text(world(content, group), encoding="utf-8")
            content["groups"][group]["answers"] = [
                {"line": line} | dict(zip(("out", "err", "status"), said, strict=True))
                for line, _ in answers(content, group)
                for said in [told(real, line, variables)]
            ]
        real.end()
    text = yaml.dump(content, sort_keys=False, allow_unicode=True, width=100)
    FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    record(str(shutil.which("gcloud")))
