"""The commands behind the Makefile: `python -m workshop COMMAND`."""

import argparse
import sys

from workshop.problem import Problem


def prepare() -> int:
    """make what every notebook starts from: the metadata database, matplotlib's list of fonts"""
    import os

    from workshop import lab

    lab.prepared_database()
    os.environ["MPLCONFIGDIR"] = str(lab.BUILD / "matplotlib")
    import matplotlib.font_manager  # noqa: F401  (writes its cache at import)

    return 0


COMMANDS = {"prepare": prepare}


def main() -> int:
    """Run one command, and return the exit status."""
    parser = argparse.ArgumentParser(prog="workshop", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.__doc__)
    arguments = parser.parse_args()
    try:
        return COMMANDS[arguments.command]()
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
