"""What the notebooks import: the start, the pictures, the tables, and what arrived.

Each name is loaded when it is first asked for (PEP 562), so that importing one folder of the
package does not import all.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"
NAMES = {
    "authoring.upkeep.examination": ("doctor",),
    "composition": ("start",),
    "exercises": ("check", "progress"),
    "lab": ("load",),
    "sandbox": ("arrived", "fault", "mail", "slack_message", "switches"),
    "show": ("changes", "draw", "figure", "logs", "tasks", "watch", "xcoms"),
    "slides": ("catch_up", "stored"),
}
__all__ = sorted(name for names in NAMES.values() for name in names)


def __getattr__(name: str) -> Any:
    for module, names in NAMES.items():
        if name in names:
            return getattr(import_module(f"workshop.{module}"), name)
    raise AttributeError(f"module 'workshop' has no attribute '{name}'")


def load_ipython_extension(shell: Any) -> None:
    """Know what `%load_ext workshop` means; IPython calls this."""
    import_module("workshop.composition").load(shell)


def __dir__() -> list[str]:
    return __all__
