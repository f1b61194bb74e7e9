"""The names of values that Airflow's official Helm chart publishes, as a data file beside this.

`python -m workshop.tests.cluster.chart CHART` writes it anew; CHART is the chart as a .tgz file.
"""

import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import yaml

from workshop.cluster.components import HERE

NAMES = Path(__file__).with_name("chart_names.txt")
FOLDER = HERE / "kubernetes"
HEAD = """\
# The values of Airflow's official Helm chart that are not deprecated, in the sections used here.
# Source: https://github.com/apache/airflow/blob/helm-chart/{version}/chart/values.schema.json
# Version: {version}
"""


def used() -> dict[str, Any]:
    """Return the values of each file of ours, by the file's name."""
    files = [FOLDER / f"{name}.yaml" for name in ("celery", "kind", "values")]
    return {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files}


def names(values: dict[str, Any], known: set[str], path: str = "") -> set[str]:
    """Return the names that values have; where the inside of one is free, the one.

    Args:
        values: as a file has them.
        known: names that are published.
        path: the name of the values, if they are part of others.
    """
    found = set()
    for key, value in values.items():
        name = f"{path}.{key}".strip(".")
        has_parts = isinstance(value, dict) and any(it.startswith(f"{name}.") for it in known)
        found |= names(value, known, name) if has_parts else {name}
    return found


def published(schema: dict[str, Any], path: str = "") -> set[str]:
    """Return the names in a schema of values that are not deprecated."""
    found = set()
    for key, part in schema.get("properties", {}).items():
        if "deprecated" not in part.get("description", ""):
            name = f"{path}.{key}".strip(".")
            found |= {name, *published(part, name)}
    return found


def written(chart: Path) -> str:
    """Return the data file for a chart."""
    with tarfile.open(chart) as files:
        about, schema = (
            files.extractfile(f"airflow/{name}") for name in ("Chart.yaml", "values.schema.json")
        )
        assert about and schema
        version, every = yaml.safe_load(about)["version"], published(json.load(schema))
    sections = {key for values in used().values() for key in values}
    kept = sorted(name for name in every if name.partition(".")[0] in sections)
    return HEAD.format(version=version) + "".join(f"{name}\n" for name in kept)


if __name__ == "__main__":
    NAMES.write_text(written(Path(sys.argv[1])), encoding="utf-8")
