"""The first call of every notebook."""

import pandas
from IPython import get_ipython

from workshop import lab, sandbox, slides


def start(world: str = "talk") -> None:
    """Give this notebook an Airflow of its own, a world to spy on, and `%%slide`; say which.

    Args:
        world: the sandbox's world; call again with another one to change it. Ignored when the
            environment says `GCPSPY_WORLD=real`.

    Raises:
        Problem: airflow was imported before, there is no such world, or something real is missing.
    """
    lab.open_lab()
    sentence = sandbox.use_real() if lab.is_real() else sandbox.enter(world)
    pandas.set_option("display.max_colwidth", 80, "display.width", 160)
    if shell := get_ipython():
        slides.register(shell)
    print(sentence)
