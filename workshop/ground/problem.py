"""The one exception of the workbook: a sentence for the reader instead of a traceback."""

import textwrap

WIDTH = 88  # characters that a cell shows without scrolling


class Problem(Exception):
    """Something outside the lesson went wrong; the message names the cause and the cure."""

    def _render_traceback_(self) -> list[str]:  # IPython shows these lines and nothing else
        lines = str(self).splitlines()
        wrapped = [textwrap.wrap(line, WIDTH) if len(line) > WIDTH else [line] for line in lines]
        return [part for parts in wrapped for part in parts]
