"""Airflow's `hostname_callable` in a cluster: a worker or a pod bears the name it was given."""

import os


def name() -> str:
    return os.environ.get("GCPSPY_HOST", "this-machine")
