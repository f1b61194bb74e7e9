"""What would go to a real Kubernetes, as far as it is held without one and without helm."""

from typing import Any

import pytest
import yaml

from workshop.authoring.upkeep.kind import CHART, CHARTS
from workshop.ground import NOTEBOOKS
from workshop.tests.cluster.chart import FOLDER, NAMES, names, used

KNOWN = {line for line in NAMES.read_text(encoding="utf-8").splitlines() if line[0] != "#"}


def test_our_values_have_names_that_the_chart_publishes() -> None:
    for file, values in used().items():
        assert names(values, KNOWN) - KNOWN == set(), file


def test_it_is_the_same_chart_everywhere() -> None:
    text = (FOLDER / "values.yaml").read_text(encoding="utf-8")
    assert f"# Version: {CHART}\n" in NAMES.read_text(encoding="utf-8")
    assert f"version {CHART} of Airflow's official Helm chart" in text
    notebook = (NOTEBOOKS / "10_kubernetes_executor.ipynb").read_text(encoding="utf-8")
    assert f"--repo {CHARTS} --version {CHART} " in notebook


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"worker": {}}, "worker"),
        ({"workers": {"kubernetes": {"account": {}}}}, "workers.kubernetes.account"),
        # It was renamed: workers.kubernetes.serviceAccount.
        ({"workers": {"serviceAccount": {"name": "spy"}}}, "workers.serviceAccount"),
    ],
)
def test_a_name_that_it_does_not_publish_is_seen(wrong: dict[str, Any], name: str) -> None:
    assert names(wrong, KNOWN) - KNOWN == {name}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*-*.yaml")), ids=lambda path: path.stem)
def test_each_template_names_what_the_values_make(path: Any) -> None:
    values = used()["values.yaml"]
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
    account = values["workers"]["kubernetes"]["serviceAccount"]
    assert account["create"] and spec["serviceAccountName"] == account["name"]
    (container,) = spec["containers"]
    (secret,) = yaml.safe_load(values["extraEnvFrom"])
    (config_map,) = values["extraConfigMaps"]
    assert container["envFrom"] == [{"configMapRef": {"name": config_map}}, secret]
    # A lesson's output, so also here: a pod is not told the address of the database.
    assert "DATABASE" not in values["extraConfigMaps"][config_map]["data"]
