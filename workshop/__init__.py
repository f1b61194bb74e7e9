"""What the notebooks import: the start, the pictures, the tables, and what arrived."""

from workshop.dagfile import load
from workshop.exercises import check, progress
from workshop.live import watch
from workshop.sandbox import arrived, fault, mail, slack_message
from workshop.show import changes, draw, figure, logs, tasks, xcoms
from workshop.slides import catch_up, stored
from workshop.start import start
from workshop.switches import switches

__all__ = [
    "arrived",
    "catch_up",
    "changes",
    "check",
    "draw",
    "fault",
    "figure",
    "load",
    "logs",
    "mail",
    "progress",
    "slack_message",
    "start",
    "stored",
    "switches",
    "tasks",
    "watch",
    "xcoms",
]
