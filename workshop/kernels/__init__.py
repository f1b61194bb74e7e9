"""Kernels that are there at once: forked from one process in which Airflow is warm."""

from workshop.kernels.warmth import PROVISIONER, begin, keep_warm

__all__ = ["PROVISIONER", "begin", "keep_warm"]
