"""The one exception of the workbook: a sentence for the reader instead of a traceback."""


class Problem(Exception):
    """Something outside the lesson went wrong; the message names the cause and the cure."""

    def _render_traceback_(self) -> list[str]:  # IPython shows these lines and nothing else
        return [str(self)]
