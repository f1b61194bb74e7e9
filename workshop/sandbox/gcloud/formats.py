"""The language of gcloud's --format and --sort-by, as far as the stand-in knows it.

What it does not know it refuses by name; it never guesses. Source: `gcloud topic formats` and
`projections`, and Google Cloud CLI 528.0.0 itself, whose answers the tests hold.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any, NamedTuple

Object = dict[str, Any]  # an instance as an API answers with it
Path = tuple[str | int, ...]
Cell = Callable[[Object, str], str]  # what the table of a list shows under a head
FORMATS = ("csv", "json", "table", "value")
PART = re.compile(r"([a-z][A-Za-z0-9]*)((?:\[\d+\])*)")


class Refused(Exception):
    """The stand-in does not do this, or gcloud neither; the status is the one to exit with."""

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(message)
        self.status = status


def wrong(message: str) -> Refused:
    """Return the exception for what gcloud refuses too."""
    return Refused(message, 1)


def parse_key(text: str, heads: dict[str, str] | None = None) -> Path:
    """Return the path of a key such as `settings.tier` or `networks[0].ipAddresses[0]`.

    Args:
        text: the key; a head of the list's table stands for that column's key.
        heads: of the list's table, each with its key, or with "" where a function makes it.

    Raises:
        Refused: this is no such key.
    """
    if "(" in text:
        raise Refused(f"it knows no functions, such as the one in '{text}'")
    if heads and text in heads:
        if not heads[text]:
            raise Refused(f"the column {text} is made by a function: it can only be shown")
        text = heads[text]
    path: list[str | int] = []
    for part in text.split("."):
        if not part:
            raise wrong(f"a key has an empty part: '{text}'")
        if not (found := PART.fullmatch(part)):
            known = f", or a column: {', '.join(heads)}" if heads else ""
            raise Refused(f"'{text}' is no key as the API writes them, like displayName{known}")
        path += [found[1], *map(int, re.findall(r"\d+", found[2]))]
    return tuple(path)


def get(api: Object, path: Path) -> Any:
    """Return what an object has at a path, None where it has nothing.

    Raises:
        Refused: the path goes through a list by a name.
    """
    value: Any = api
    for step in path:
        if isinstance(value, list) and isinstance(step, str):
            raise Refused(f"the key {key_name(path)} goes through a list: name one with [0]")
        try:
            value = value[step]
        except (LookupError, TypeError):
            return None
    return value


def scalar(api: Object, path: Path) -> Any:
    """Return as `get`; raise Refused where there is a list or a dictionary too."""
    value = get(api, path)
    if isinstance(value, dict | list):
        raise Refused(f"the key {key_name(path)} is no single value: go on with [0] or .name")
    return value


def key_name(path: Path) -> str:
    """Return a path as a person writes it."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)[1:]


class Format(NamedTuple):
    """A parsed --format: its name, and its columns by what heads them."""

    name: str
    columns: list[tuple[str, Path | None]]  # without a path: shown as the list's table shows it


def parse_format(text: str, heads: dict[str, str]) -> Format:
    """Return a --format.

    Args:
        text: for example `value(name,settings.tier)` or `json`.
        heads: as in `parse_key`; a key of a column stands for that column.

    Raises:
        Refused: it is none that is known, or it is not well-formed.
    """
    name, paren, rest = text.strip().partition("(")
    name = name.strip()
    if name not in FORMATS:
        raise Refused(f"it knows no --format={text}, only {', '.join(FORMATS)}")
    if paren and (not rest.endswith(")") or rest.count("(") >= rest.count(")")):
        raise wrong(f"--format={text} lacks its last parenthesis")
    keys = [key.strip() for key in rest[:-1].split(",")] if rest[:-1].strip() else []
    if not keys and name != "json":
        raise wrong(f"--format={name} needs keys, as in {name}(name)")
    by_key = {key: head for head, key in heads.items() if key}
    columns: list[tuple[str, Path | None]] = []
    for key in keys:
        if name != "json" and (head := key if key in heads else by_key.get(key)):
            columns.append((head, None))
            continue
        path = parse_key(key, heads)
        head = _heading(path)
        if name in ("csv", "table") and (head in heads or (head, path) in columns or any(
            head == other for other, _ in columns
        )):  # fmt: skip
            raise Refused(f"two columns of --format={text} would have the same head")
        columns.append((head, path))
    return Format(name, columns)


def _heading(path: Path) -> str:
    """Return gcloud's head of a column: the last name in capitals, with underscores."""
    name = [step for step in path if isinstance(step, str)][-1]
    return re.sub(r"((?<=[a-z0-9])[A-Z]+|(?!^)[A-Z](?=[a-z]))", r"_\1", name).upper()


def written(form: Format, objects: list[Object], cell: Cell) -> str:
    """Return objects in a format.

    Args:
        form: the format.
        objects: as gcloud shows them.
        cell: returns what the list's table has for an object under a head.

    Raises:
        Refused: a key of the format is no single value of an object.
    """
    if form.name == "json":
        return as_json([projected(api, form) for api in objects])
    rows = [
        [as_text(scalar(api, path)) if path else cell(api, head) for head, path in form.columns]
        for api in objects
    ]
    if form.name == "value":
        return "".join("\t".join(row) + "\n" for row in rows)
    heads = [head for head, _ in form.columns]
    if form.name == "table":
        return table([heads, *rows]) if rows else ""
    lines = [[head.lower() for head in heads], *rows] if rows else []
    return "".join(",".join(map(_quoted, line)) + "\n" for line in lines)


def as_json(value: Any) -> str:
    """Return JSON as gcloud prints it."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def as_text(value: Any) -> str:
    """Return a value as a cell shows it."""
    return "" if value is None else str(value)


def _quoted(text: str) -> str:
    """Return a cell of CSV; gcloud quotes at a semicolon too."""
    if text and (any(char in text for char in ',";\n') or text != text.strip()):
        return '"' + text.replace('"', '""') + '"'
    return text


def projected(api: Object, form: Format) -> Object | None:
    """Return an object with the keys of a format alone, None where it has none of them.

    Raises:
        Refused: a key has an index, or is a part of another.
    """
    paths = [path for _, path in form.columns if path]
    if not paths:
        return api
    kept: Object = {}
    for path in paths:
        if any(isinstance(step, int) for step in path):
            raise Refused("json(...) takes keys without [0]")
        if any(path != other and path == other[: len(path)] for other in paths):
            raise Refused(f"json(...) has the key {key_name(path)}, and a part of it too")
        if (value := get(api, path)) is not None:
            inner = kept
            for step in path[:-1]:
                inner = inner.setdefault(str(step), {})
            inner[str(path[-1])] = value
    return kept or None


def table(rows: list[list[str]]) -> str:
    """Return gcloud's table: columns as wide as their widest cell, two blanks between them."""
    columns = [_padded(list(cells)) for cells in zip(*rows, strict=True)]
    return "".join("  ".join(cells).rstrip() + "\n" for cells in zip(*columns, strict=True))


def _padded(cells: list[str]) -> list[str]:
    """Return the cells of a column, all as wide as the widest."""
    width = max(map(_width, cells))
    return [cell + " " * (width - _width(cell)) for cell in cells]


def _width(text: str) -> int:
    """Return the columns that a text takes on a terminal."""
    return sum(
        0 if unicodedata.combining(char) or unicodedata.category(char) == "Cf"
        else 2 if unicodedata.east_asian_width(char) in "FW"
        else 1
        for char in unicodedata.normalize("NFC", text)
    )  # fmt: skip


def sort(objects: list[Object], keys: str, value: Callable[[Object, Path], Any]) -> list[Object]:
    """Return objects in the order of --sort-by: keys between commas, each after ~ backwards.

    Args:
        objects: to be sorted.
        keys: the flag's value.
        value: returns what is compared of an object at a path.

    Raises:
        Refused: a key is none, or stands there twice, or is no single value of an object.
    """
    paths = [parse_key(key.strip().removeprefix("~")) for key in keys.split(",")]
    if len(set(paths)) < len(paths):
        raise Refused("it sorts by a key once")
    for key, path in list(zip(keys.split(","), paths, strict=True))[::-1]:
        values = [value(api, path) for api in objects]
        order = sorted(range(len(values)), key=values.__getitem__, reverse=key.strip()[0] == "~")
        objects = [objects[place] for place in order]
    return objects
