"""What would be uploaded to a managed Airflow, and what would not work there."""

from pathlib import Path
from typing import Any

import pytest

from workshop.authoring.checking.generated import DAG_FILE
from workshop.authoring.upkeep import composer
from workshop.ground import Problem


def test_the_bundle_has_the_dag_and_the_packages_it_imports(
    lab: Any, tmp_path: Path, capsys: Any
) -> None:
    folder = composer.bundle(tmp_path / "bundle")
    assert (folder / "dags" / "gcp_spy.py").read_text() == DAG_FILE.read_text()
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert [line.split("==")[0] for line in lines] == [
        "apache-airflow-providers-smtp", "apache-airflow-providers-standard", "pendulum", "requests"
    ]  # fmt: skip
    assert "It imports in an Airflow of its own" in capsys.readouterr().out
    assert not list(folder.rglob("*.pyc"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# /home/anna/names.txt\n", "other.py, line 1, names a place of this machine"),
        ("from airflow.sdk import DAG\nimport nowhere\n", "a DAG file cannot be read"),
        ("from airflow.sdk import DAG\nimport os\nos.environ['SECRET']\n", "cannot be read"),
    ],
)
def test_what_would_not_work_elsewhere_is_named(
    lab: Any, tmp_path: Path, text: str, sentence: str
) -> None:
    folder = composer.bundle(tmp_path / "bundle")
    (folder / "dags" / "other.py").write_text(text)
    (found,) = composer.complaints(folder)
    assert sentence in found


def test_an_import_without_a_package_is_a_sentence() -> None:
    with pytest.raises(Problem, match="imports nowhere, and no package"):
        composer.requirements("import nowhere\n")
