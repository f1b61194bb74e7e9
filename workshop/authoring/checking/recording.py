"""`make record`: the only way in which outputs come into the repository."""

import configparser
import copy
import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Any

import nbformat

from workshop.authoring.checking.headless import code_of, execute

MEASURED = "nbval-ignore-output"  # the tag of a cell whose output is figures of one run
RULES = Path(__file__).with_name("nbval.cfg")


def record_notebook(path: Path, *, measured: bool = False) -> bool:
    """Run a notebook in place, normalise it, and return whether the file changed.

    A picture is drawn by this machine's fonts, so the stored one stays where its text is the same.
    What is measured differs in each run, so it stays as long as all else in the notebook does:
    what one run measured belongs together.

    Args:
        path: the notebook.
        measured: take what this run measured in any case.
    """
    before = path.read_text(encoding="utf-8")
    stored = nbformat.reads(before, as_version=4)
    digest = stored.metadata.get("workshop", {}).get("measured")
    notebook = copy.deepcopy(stored)
    execute(notebook, path.parent)
    normalise(stored)
    normalise(notebook)
    old = {cell.id: cell.outputs for cell in code_of(stored)}
    same = {c.id for c in code_of(notebook) if sanitised(c.outputs) == sanitised(old[c.id])}
    figures = {cell.id for cell in code_of(notebook) if is_measured(cell)}
    as_before = digest in (None, notebook.metadata.workshop.get("measured"))
    if as_before and not measured and all(old[i] if i in figures else i in same for i in old):
        same |= figures
    else:
        same -= figures
    for cell in code_of(notebook):
        if cell.id in same:
            cell.outputs = old[cell.id]
    after: str = nbformat.writes(notebook) + "\n"
    if after != before:
        path.write_text(after, encoding="utf-8")
    return after != before


def is_measured(cell: Any) -> bool:
    """Return whether a cell's output is figures of one run: its tag or its plot says so."""
    return MEASURED in cell.metadata.get("tags", []) or "measured=True" in cell.source


def sanitised(outputs: Any) -> str:
    """Return outputs as text without what may differ between machines."""
    rules = configparser.RawConfigParser()
    rules.read(RULES, encoding="utf-8")
    text = json.dumps(outputs, sort_keys=True)
    for section in rules.sections():
        text = re.sub(rules[section]["regex"], rules[section]["replace"], text)
    return text


def normalise(notebook: Any) -> None:
    """Remove from a notebook what a run or a save adds and no reader needs."""
    sources = "\n\n".join(cell.source for cell in code_of(notebook) if is_measured(cell))
    digest = {"measured": hashlib.sha256(sources.encode()).hexdigest()[:12]} if sources else {}
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "workshop": {"cells": len(notebook.cells), **digest},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    count, taken = 0, set[str]()
    for cell in notebook.cells:
        tags = [tag for tag in cell.metadata.get("tags", []) if tag]
        folded = {"jupyter": {"source_hidden": True}} if "solution" in tags else {}
        cell.metadata = nbformat.from_dict({**folded, **({"tags": tags} if tags else {})})
        cell.id = _readable_id(cell.source, taken)
        taken.add(cell.id)
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            cell.outputs = _plain_outputs(cell.outputs, count)


def _plain_outputs(outputs: list[Any], count: int) -> list[Any]:
    plain: list[Any] = []
    for output in outputs:
        output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
        if output.output_type == "stream" and plain and plain[-1].get("name") == output.name:
            plain[-1].text += output.text
            continue
        if "metadata" in output:
            output.metadata = {}
        if output.output_type == "execute_result":
            output.execution_count = count
        plain.append(output)
    return plain


def _readable_id(source: str, taken: set[str]) -> str:
    """Return an id for a cell made of its first words: the same as long as they are."""
    words = re.findall(r"[a-z0-9_]+", source.split("\n\n")[0].lower())
    base = "-".join(words)[:40].strip("-") or "cell"
    names = itertools.chain([base], (f"{base}-{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in taken)
