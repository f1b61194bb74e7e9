"""Airflow with a real executor on this machine, for the notebooks 08 to 10 and 13.

The comparison of both DAGs under a fault is `workshop.cluster.trials`: it is imported by its name,
because a cluster needs no DAG of the workbook.
"""

from workshop.cluster.cluster import EXECUTORS, Cluster, Run, executors_ready, screenshot
from workshop.cluster.components import COMPONENTS, Components, world_environment

__all__ = [
    "COMPONENTS", "EXECUTORS", "Cluster", "Components", "Run", "executors_ready",
    "screenshot", "world_environment",
]  # fmt: skip
