"""The language of gcloud's --filter, as far as the stand-in knows it: terms, AND, OR, NOT, (…).

gcloud matches with rules that its words call outdated, and warns where its next ones would say
otherwise; both are here. Source: `gcloud topic filters`, and Google Cloud CLI 528.0.0 itself, whose
answers the tests hold.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from .formats import Object, Path, Refused, get, key_name, parse_key, scalar, wrong

OPERATORS = ("!=", "<", "<=", ">", ">=", "~", "!~")  # gcloud's, beside those known here


class Term(NamedTuple):
    """A term of a filter: a key, `=` or `:`, and what is looked for."""

    path: Path
    operator: str
    operand: str


class Group(NamedTuple):
    """Terms and groups of a filter, joined by AND or OR, or one with NOT before it."""

    word: str
    parts: list["Filter"]


Filter = Term | Group


class Parser:
    """Reads one --filter by recursive descent: terms, NOT, then AND or OR, and parentheses."""

    def __init__(self, text: str, heads: dict[str, str]) -> None:
        self._text = text
        self._heads = heads
        self._at = 0

    def filter(self) -> Filter:
        """Return the whole; raise Refused where it is not well-formed, or beyond this language."""
        whole = self._group()
        if self._at < len(self._text):
            raise wrong(f"--filter has a parenthesis too many: '{self._text[self._at :]}'")
        return whole

    def _group(self) -> Filter:
        """Return terms up to the end, or up to a closing parenthesis."""
        parts, words = [self._part()], set()
        while self._peek() not in ("", ")"):
            if not (word := self._word("AND", "OR")):
                rest = self._text[self._at :]
                raise Refused(f"it knows no terms side by side: write AND or OR before '{rest}'")
            words.add(word)
            parts.append(self._part())
        if len(words) > 1:
            raise wrong("--filter has AND and OR side by side: group them with parentheses")
        return Group(words.pop(), parts) if words else parts[0]

    def _part(self) -> Filter:
        """Return a term, or a group in parentheses, with or without NOT."""
        if self._word("NOT"):
            if self._word("NOT"):
                raise Refused("it knows no NOT before NOT")
            return Group("NOT", [self._part()])
        if self._peek() == "(":
            self._at += 1
            inner = self._group()
            if self._peek() != ")":
                raise wrong("--filter lacks a closing parenthesis")
            self._at += 1
            return inner
        return self._term()

    def _term(self) -> Term:
        """Return a term."""
        if self._peek() in ("", ")") or self._word("AND", "OR"):
            raise wrong("--filter needs a term, such as name=web-1, after its last word")
        key = self._while(lambda char: char not in ":=!<>~()" and not char.isspace())
        if self._text[self._at : self._at + 1] == "(":
            raise Refused(f"it knows no functions, such as {key}()")
        self._peek()
        operator = self._while(":=!<>~".__contains__)
        if not operator:
            raise Refused(f"'{key}' alone is no term, only KEY=VALUE and KEY:VALUE")
        if operator in OPERATORS:
            raise Refused(f"it knows no operator {operator}, only = and :")
        if operator not in ("=", ":"):
            raise wrong(f"there is no operator {operator}")
        if not key:
            raise wrong(f"--filter needs a key before {operator}")
        if key.startswith("-"):
            raise Refused(f"it knows no '-' before a term: write NOT {key[1:]}")
        return Term(parse_key(key, self._heads), operator, self._operand(operator))

    def _operand(self, operator: str) -> str:
        """Return what is looked for, without its quotes."""
        if self._peek() == "(":
            raise Refused("it knows no list in parentheses: join terms with OR")
        if self._word("AND", "OR", "NOT"):
            raise wrong("--filter has a word such as AND where a value belongs")
        operand = ""
        while (char := self._text[self._at : self._at + 1]) and not char.isspace():
            if char in "()":
                break
            if char == "\\":
                raise Refused("it knows no backslash in a filter")
            self._at += 1
            if char in "'\"":
                inside, quote, _ = self._text[self._at :].partition(char)
                if not quote:
                    raise wrong(f"--filter lacks a closing {char}")
                self._at += len(inside) + 1
                char = inside
            operand += char
        if not operand:
            raise wrong(f"--filter needs a value after {operator}")
        if operator == ":" and operand.count("*") > 1:
            raise wrong(f"at most one * can stand after ':', not {operand}")
        return operand

    def _peek(self) -> str:
        """Go on to the next character that is no blank, and return it, "" at the end."""
        self._while(str.isspace)
        return self._text[self._at : self._at + 1]

    def _word(self, *words: str) -> str:
        """Take one of these words, and return it, "" where there is none."""
        self._peek()
        for word in words:
            after = self._text[self._at + len(word) : self._at + len(word) + 1]
            ends = after in ("", "(") or after.isspace()
            if ends and self._text.startswith(word, self._at):
                self._at += len(word)
                return word
        return ""

    def _while(self, holds: Callable[[str], bool]) -> str:
        """Take the characters for which this holds, and return them."""
        start = self._at
        while self._at < len(self._text) and holds(self._text[self._at]):
            self._at += 1
        return self._text[start : self._at]


def parse_filter(text: str, heads: dict[str, str]) -> Filter | None:
    """Return a --filter, None for an empty one.

    Args:
        text: for example `status=RUNNING AND NOT (name:web* OR zone:us-east1-c)`.
        heads: as in `parse_key`.

    Raises:
        Refused: it is not well-formed, or has what is beyond this language.
    """
    try:
        return Parser(text, heads).filter() if text.strip() else None
    except RecursionError:
        raise Refused("--filter has too many parentheses in each other") from None


def terms(tree: Filter) -> Iterator[Term]:
    """Return the terms of a filter."""
    if isinstance(tree, Term):
        yield tree
    else:
        for part in tree.parts:
            yield from terms(part)


def demanded(tree: Filter | None, path: Path) -> set[str]:
    """Return all values that a filter demands of a key with `=`, whatever else it says."""
    if isinstance(tree, Group) and tree.word == "AND":
        return {value for part in tree.parts for value in demanded(part, path)}
    return {tree.operand} if isinstance(tree, Term) and tree[:2] == (path, "=") else set()


def select(tree: Filter, objects: list[Object], limit: int | None) -> tuple[list[Object], str]:
    """Return the objects that a filter lets through, and gcloud's warnings.

    Args:
        tree: the filter.
        objects: all.
        limit: at most so many; gcloud looks no further than it needs.

    Raises:
        Refused: a key is no single value of an object, or a time.
    """
    kept: list[Object] = []
    warnings: dict[str, str] = {}
    missing = {term.path for term in terms(tree)}
    for api in objects:
        missing -= {path for path in missing if get(api, path) is not None}
        if _holds(tree, api, warnings):
            if len(kept) == limit:
                break
            kept.append(api)
    else:
        if missing:
            names = sorted(".".join(map(str, path)) for path in missing)
            warnings["missing"] = (
                "WARNING: The following filter keys were not present in any resource : "
                f"{', '.join(names)}\n"
            )
    return kept, "".join(warnings.values())


def _holds(tree: Filter, api: Object, warnings: dict[str, str]) -> bool:
    """Return whether a filter lets an object through; keep the first warning of each operator."""
    if isinstance(tree, Group):
        each = (_holds(part, api, warnings) for part in tree.parts)
        if tree.word == "NOT":
            return not next(each)
        return all(each) if tree.word == "AND" else any(each)
    key, operator, operand = key_name(tree.path), tree.operator, tree.operand
    answers = list(_answers(scalar(api, tree.path), tree))
    for now, soon in answers:
        if now != soon:
            does, will = ("matches", "will not") if now else ("does not match", "will")
            warnings.setdefault(
                operator,
                "WARNING: --filter : operator evaluation is changing for consistency across Google "
                f"APIs.  {key}{operator}{operand} currently {does} but {will} match in the near "
                "future.  Run `gcloud topic filters` for details.\n",
            )
    return any(now for now, _ in answers)


def _answers(value: Any, term: Term) -> Iterator[tuple[bool, bool]]:
    """Return whether a value matches now and will soon: as a number, then as a text."""
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d", value):
        raise Refused(f"the key {key_name(term.path)} is a time, which it cannot compare")
    constant = term.operand.lower() in ("true", "false")
    try:
        _ = constant or _number(term.operand)
        number = _number(value)
    except (TypeError, ValueError):
        pass
    else:
        yield (found := _matches(number, term))
        if found[0] or not constant:
            return
    yield _matches(value, term)


def _number(value: Any) -> int | float:
    """Return a value as a number; raise TypeError or ValueError where it is none."""
    try:
        return value if isinstance(value, float) else int(value)
    except ValueError:
        return float(value)


def _matches(value: Any, term: Term) -> tuple[bool, bool]:
    """Return whether a value matches in gcloud's way of today, and in the one that it announces."""
    operand = term.operand
    if isinstance(value, int | float):
        with suppress(ValueError):
            if value == _number(operand):
                return True, True
        if value in (0, 1) and operand.lower() == ("false", "true")[int(value)]:
            return True, True
        text = re.sub(r"\.0*$", "", repr(value)).lower()
    elif value == operand:
        return True, True
    elif value is None:
        if term.operator == ":" and operand == "*":
            return False, False
        text = "null"
    else:
        text = _plain(re.sub("<[^>]*>", "", value.lower()))
    word = _plain(operand)
    if term.operator == ":" and word == "*":
        return bool(text), bool(text)
    texts = [text, text.rsplit("/", 1)[-1]] if term.path == ("zone",) else [text]
    if term.operator == "=":
        return word in texts, bool(re.search(rf"\b{re.escape(word)}\b", text))
    left, star, right = word.partition("*")
    end = "" if star and not right else r"\b"
    soon = bool(re.search(rf"\b{re.escape(word.removesuffix('*'))}{end}", text))
    if not star:
        return any(word in it for it in texts), soon
    return any(_has_ends(it, left, right) for it in texts), soon


def _has_ends(text: str, left: str, right: str) -> bool:
    long_enough = len(text) >= len(left) + len(right)
    return long_enough and text.startswith(left) and text.endswith(right)


def _plain(text: str) -> str:
    """Return a text in small letters without accents."""
    parts = unicodedata.normalize("NFKD", text.lower())
    return "".join(char for char in parts if not unicodedata.combining(char))
