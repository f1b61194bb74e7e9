"""Upkeep: the locks, the doctor, JupyterLab, and the ways to a real Airflow."""
