"""What several tests of the sandbox use: a world, its answers, and ways to ask the stand-ins."""

import os
import subprocess
from typing import Any

import requests

# Printed by Google Cloud CLI 528.0.0 for one small world.
RECORDED = {
    "sql": """\
NAME               DATABASE_VERSION  LOCATION        TIER              PRIMARY_ADDRESS  PRIVATE_ADDRESS  STATUS
orders-db          MYSQL_5_7         europe-west1-b  db-n1-standard-1  35.187.10.1      -                RUNNABLE
orders-db-replica  POSTGRES_9_6      us-central1-a   db-f1-micro       35.187.10.2      -                STOPPED
""",
    "spanner": """\
NAME    DISPLAY_NAME  CONFIG                 NODE_COUNT  PROCESSING_UNITS  STATE  INSTANCE_TYPE
ledger  Ledger        regional-europe-west1  1           1000              READY
""",
    "bigtable": """\
NAME       DISPLAY_NAME  STATE
events-bt  Events Bt     READY
""",
    "compute": """\
NAME     ZONE            MACHINE_TYPE   PREEMPTIBLE  INTERNAL_IP  EXTERNAL_IP  STATUS
bastion  europe-west1-b  n1-standard-1               10.132.0.5                TERMINATED
web-2    us-east1-c      n1-standard-1  true         10.142.0.4   35.205.0.4   RUNNING
""",
}
WORLD = """\
project: recorded
services:
  sql:
    - {name: orders-db, zone: europe-west1-b, tier: db-n1-standard-1, address: 35.187.10.1}
    - {name: orders-db-replica, databaseVersion: POSTGRES_9_6, address: 35.187.10.2, state: STOPPED}
  spanner: [{name: ledger, displayName: Ledger, config: regional-europe-west1}]
  bigtable: [{name: events-bt, displayName: Events Bt}]
  compute:
    - {name: web-2, zone: us-east1-c, preemptible: true, internalIP: 10.142.0.4, externalIP: 35.205.0.4}
    - {name: bastion, zone: europe-west1-b, internalIP: 10.132.0.5, status: TERMINATED}
"""


def ask(*words: str) -> tuple[str, str, int]:
    """Return what the gcloud on PATH prints on stdout and stderr, and its exit status."""
    done = subprocess.run(["gcloud", *words], capture_output=True, text=True, timeout=600)
    return done.stdout, done.stderr, done.returncode


def webhook() -> str:
    return os.environ["GCPSPY_SLACK_WEBHOOK"]


def post(data: Any, url: str | None = None, kind: str = "application/json") -> tuple[int, str]:
    """Return status and text of Slack's answer."""
    answer = requests.post(url or webhook(), data=data, headers={"Content-type": kind}, timeout=600)
    return answer.status_code, answer.text
