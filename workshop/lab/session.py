"""The session: what the workbook holds in this process, in one object instead of many globals."""

from typing import Any, TypeVar

from workshop.ground import Problem

Part = TypeVar("Part")
NOT_STARTED = (
    "The workbook has not started in this kernel: run the notebook's first cells, those up to "
    "start(world), then this one again."
)


class Session:
    """The parts of the workbook that are alive in this process, each found by its class."""

    def __init__(self) -> None:
        self._parts: dict[type[Any], Any] = {}

    def put(self, part: Part) -> Part:
        """Keep a part under its class, in place of the one before, and return it."""
        self._parts[type(part)] = part
        return part

    def find(self, kind: type[Part]) -> Part | None:
        """Return the part of a class, or None where there is none yet."""
        return self._parts.get(kind)

    def clear(self) -> None:
        """Forget all parts."""
        self._parts.clear()

    def __getitem__(self, kind: type[Part]) -> Part:
        """Return the part of a class.

        Raises:
            Problem: the notebook has not started.
        """
        part = self.find(kind)
        if part is None:
            raise Problem(NOT_STARTED)
        return part


_session = Session()


def current() -> Session:
    """Return the session of this process; it is empty until `start` has put its parts in."""
    return _session
