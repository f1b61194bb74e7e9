"""What the notebooks import: the start, the pictures, the tables, and what arrived."""

from workshop.live import watch
from workshop.sandbox import arrived, fault, mail, slack_message
from workshop.show import draw, figure, logs, tasks, xcoms
from workshop.slides import catch_up
from workshop.start import start
from workshop.switches import switches

__all__ = [
    "arrived",
    "catch_up",
    "draw",
    "fault",
    "figure",
    "logs",
    "mail",
    "slack_message",
    "start",
    "switches",
    "tasks",
    "watch",
    "xcoms",
]
