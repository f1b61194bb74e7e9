"""What a task prints: it goes to the task's log, line by line, as it does in production."""

import io
import sys
from collections.abc import Callable


class Printed(io.TextIOBase):
    """Takes the place of `sys.stdout`, in the whole process, until it is released.

    Args:
        keep: called with each line.
    """

    def __init__(self, keep: Callable[[str], None]) -> None:
        self._keep, self._rest = keep, ""
        self._stdout, sys.stdout = sys.stdout, self

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._keep(line)
        return len(text)

    def release(self) -> None:
        """Give the cell its stdout back, and keep a last line without an end."""
        self.write("\n")
        sys.stdout = self._stdout
