"""The flags of the stand-in for gcloud: refused by name, or as a plain model in Python says."""

import csv
import io
import json
import shlex
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workshop.sandbox.gcloud.program import KNOWN

SOME = """\
services:
  sql: [{name: ledgers, tier: db-f1-micro}]
  compute: [{name: gate, zone: asia-east1-a}, {name: lamp, status: TERMINATED}]
"""
LIST = "compute instances list"
# Each run writes its own world into the same folder.
PROPERTY = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (
            "sql instances delete ledgers",
            "It knows no command 'gcloud sql instances delete ledgers'",
        ),
        ("sql instances describe", "It knows no command 'gcloud sql instances describe'"),
        ("compute instances describe gate lamp", "It knows no command"),
        ("sql instances stop ledgers", "It knows no command"),
        ("config list", "It knows no command 'gcloud config list'"),
        ("config get-value project --configuration=default", "It knows no command"),
        ("sql instances list --limit=0", "--limit must be from 1 to 9223372036854775807, not 0"),
        (
            "sql instances list --limit=9223372036854775808",
            "--limit must be from 1 to 9223372036854775807",
        ),
        ("sql instances list --limit=-1", "--limit must be from 1 to"),
        ("sql instances list --limit= ", "Argument --limit: invalid int value: ''"),
        ("sql instances list -qq", "It knows no -qq."),
        ("sql instances list -hq", "It knows no -hq."),
        ("sql -- instances list", "It knows no --."),
        ("sql instances list --", "It knows no --."),
        ("sql instances list --version", "Unrecognized arguments: --version"),
        ("version --format=json", "It knows no command 'gcloud version'"),
        ("sql instances list --limit=all", "Argument --limit: invalid int value: 'all'"),
        ("sql instances list --filter", "Argument --filter: expected one argument"),
        ("sql instances list --verbosity=debug", "Argument --verbosity: invalid choice: 'debug'"),
        ("sql instances list --quiet=yes", "ignored explicit argument 'yes'"),
        ("sql instances list --proj=spy-demo", "Unrecognized arguments: --proj=spy-demo"),
        ("sql instances list --uri", "Unrecognized arguments: --uri"),
        ("sql instances list --zone=asia-east1-a", "--zone does not belong to 'list'"),
        ("sql instances describe ledgers --zone=asia-east1-a", "--zone does not belong"),
        ("compute instances describe gate --limit=1", "--limit does not belong to 'describe'"),
        ("compute instances stop gate --format=json", "--format does not belong to 'stop'"),
        (f"--limit=1 {LIST}", "--limit=1 does not belong to 'list', or stands before"),
        (
            f"{LIST} --format=yaml(name)",
            "It knows no --format=yaml(name), only csv, json, table, value",
        ),
        (f"{LIST} --format=csv[no-heading](name)", "It knows no --format=csv[no-heading](name)"),
        (
            f"{LIST} --format=value(name.basename())",
            "It knows no functions, such as the one in 'name.basename()'",
        ),
        (f"{LIST} --format=value(name:label=X)", "'name:label=X' is no key"),
        (f"{LIST} --format=value(machine_type)", "'machine_type' is no key"),
        (f"{LIST} --format=value(networkInterfaces)", "networkInterfaces is no single value"),
        (f"{LIST} --format=value(networkInterfaces.networkIP)", "goes through a list: name one"),
        (
            f"{LIST} --format=json(networkInterfaces[0].networkIP)",
            "Json(...) takes keys without [0]",
        ),
        (f"{LIST} --format=json(scheduling,scheduling.preemptible)", "and a part of it too"),
        (f"{LIST} --format=json(EXTERNAL_IP)", "The column EXTERNAL_IP is made by a function"),
        (f"{LIST} --format=csv(a.b,c.b)", "Two columns of --format=csv(a.b,c.b) would have"),
        (f"{LIST} --format=table(a.b,c.b)", "Two columns of --format=table(a.b,c.b) would have"),
        (f"{LIST} --filter=name!=gate", "It knows no operator !=, only = and :"),
        (f"{LIST} --filter=name~gate", "It knows no operator ~,"),
        (f"{LIST} --filter=name!~gate", "It knows no operator !~,"),
        (f"{LIST} --filter='name < gate'", "It knows no operator <,"),
        (f"{LIST} --filter=name>=gate", "It knows no operator >=,"),
        (f"{LIST} --filter=gate", "'gate' alone is no term"),
        (f"{LIST} --filter='name=gate status=RUNNING'", "write AND or OR before 'status=RUNNING'"),
        (f"{LIST} --filter='name=gate or name=lamp'", "write AND or OR before 'or name=lamp'"),
        (f"{LIST} --filter='name=(gate lamp)'", "It knows no list in parentheses"),
        (f"{LIST} --filter=-name=gate", "write NOT name"),
        (f"{LIST} --filter='NOT NOT name=gate'", "NOT before NOT"),
        (f"{LIST} --filter='zone.basename()=x'", "It knows no functions, such as zone.basename()"),
        (f"{LIST} --filter='EXTERNAL_IP:*'", "is made by a function"),
        (f"{LIST} --filter='name=a\\\\b'", "It knows no backslash"),
        (f"{LIST} --filter='scheduling:true'", "scheduling is no single value"),
        ("filestore instances list --filter=createTime:2018", "createTime is a time"),
        (f"{LIST} --filter=MACHINE_TYPE:e2*", "The column MACHINE_TYPE is made by a function"),
        (f"{LIST} --filter=zone=zones/a", "by its name, such as us-central1-a, not zones/a"),
        (f"{LIST} --sort-by=NAME", "'NAME' is no key"),
        (f"{LIST} --sort-by=name,~name", "It sorts by a key once"),
        ("filestore instances list --sort-by=tier", "A table of filestore has an order of its own"),
        (f"{LIST} --sort-by=networkInterfaces", "is no single value"),
    ],
)
def test_what_it_does_not_know_is_refused_by_name(printed: Any, line: str, cause: str) -> None:
    world = SOME.replace("  compute", "  filestore: [{name: home}]\n  compute")
    out, err, status = printed(world, line)
    assert (out, status) == ("", 2)
    assert cause in err
    assert err.startswith("ERROR: (gcloud) ") and err.endswith(f"{KNOWN}\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("word", "names"), [("true", "lamp\n"), ("TRUE", "lamp\n"),
                                            ("False", "gate\n"), ("yes", "")])  # fmt: skip
def test_a_truth_is_written_in_any_case(printed: Any, word: str, names: str) -> None:
    world = "services: {compute: [{name: gate}, {name: lamp, preemptible: true}]}"
    line = f"{LIST} --filter=scheduling.preemptible={word} --format=value(name)"
    assert printed(world, line) == (names, "", 0)


@pytest.mark.parametrize(
    ("shown", "width"),
    [("tea", 3), ("東京", 4), ("\uff21", 2), ("e\u0301t", 2), ("x\u0301", 1), ("a\u200bb", 2)],
)
def test_a_column_has_the_width_of_a_terminal(printed: Any, shown: str, width: int) -> None:
    world = json.dumps({"services": {"spanner": [{"name": "one", "displayName": shown}]}})
    out, _, _ = printed(world, "spanner instances list --format=table(displayName,name)")
    assert out == f"DISPLAY_NAME  NAME\n{shown}{' ' * (len('DISPLAY_NAME') - width)}  one\n"


def test_json_has_letters_and_no_numbers_of_them(printed: Any) -> None:
    world = "services: {spanner: [{name: one, displayName: 東京}]}"
    out, _, _ = printed(world, "spanner instances list --format=json(displayName)")
    assert out == '[\n  {\n    "displayName": "東京"\n  }\n]\n'


def test_a_cell_of_csv_is_quoted_only_where_it_has_to_be(printed: Any) -> None:
    world = "services: {spanner: [{name: a, displayName: MAX X}, {name: b, displayName: 'x; y'}]}"
    out = printed(world, "spanner instances list --format=csv(name,displayName)")[0]
    assert out == 'name,display_name\na,MAX X\nb,"x; y"\n'


@pytest.mark.parametrize(
    ("service", "row"),
    [
        ("sql", ["a", "MYSQL_5_7", "us-central1-a", "db-f1-micro", "-", "-", "RUNNABLE"]),
        ("spanner", ["a", "a", "regional-us-central1", "1", "1000", "READY"]),
        ("bigtable", ["a", "a", "READY"]),
        ("compute", ["a", "us-central1-a", "n1-standard-1", "10.128.0.2", "RUNNING"]),
        (
            "filestore",
            ["a", "us-central1-a", "BASIC_HDD", "1024", "share", "10.0.0.2", "READY",
             "2018-11-05T09:30:00"],
        ),
    ],
)  # fmt: skip
def test_an_instance_needs_no_more_than_a_name(printed: Any, service: str, row: list[str]) -> None:
    out = printed(f"services: {{{service}: [{{name: a}}]}}", f"{service} instances list")[0]
    assert out.splitlines()[1].split() == row


@pytest.mark.parametrize(
    ("flag", "cause"),
    [
        ("--sort-by=name,", "has an empty part: ''"),
        ("--format=value", "--format=value needs keys"),
        ("--format=csv()", "--format=csv needs keys"),
        ("--format=value(name", "lacks its last parenthesis"),
        ("--format=value(name)x", "lacks its last parenthesis"),
        ("--format=value(name,)", "has an empty part: ''"),
        ("--format=value(a..b)", "has an empty part: 'a..b'"),
        ("--filter=name=", "needs a value after ="),
        ("--filter==gate", "needs a key before ="),
        ("--filter=name==gate", "There is no operator =="),
        ("--filter='name=gate AND'", "needs a term"),
        ("--filter='AND name=gate'", "needs a term"),
        ("--filter='name=gate OR OR name=lamp'", "needs a term"),
        ("--filter=NOT", "needs a term"),
        *[
            (f"--filter=name={it}", "has a word such as AND where a value")
            for it in ("AND", "OR", "NOT")
        ],
        ("--filter='(name=gate'", "lacks a closing parenthesis"),
        ("--filter='name=gate)'", "a parenthesis too many"),
        ('--filter="name=\'gate"', "lacks a closing '"),
        ("--filter='name:g*t*'", "At most one *"),
        ("--filter='name=a AND name=b OR name=c'", "group them with parentheses"),
        ("--project=123", "is the number of a project"),
    ],
)
def test_what_gcloud_refuses_too_has_its_status(printed: Any, flag: str, cause: str) -> None:
    out, err, status = printed(SOME, f"{LIST} {flag}")
    assert (out, status) == ("", 1)
    assert cause in err


def test_a_filter_of_many_parentheses_is_refused(printed: Any) -> None:
    out, err, status = printed(SOME, f"{LIST} --filter='{'(' * 9999}name=x{')' * 9999}'")
    assert (out, status) == ("", 2)
    assert "too many parentheses" in err


def test_help_says_what_it_knows(printed: Any) -> None:
    for line in ("--help", "-h", f"{LIST} --help", "sql --help"):
        out, err, status = printed(SOME, line)
        assert (err, status) == ("", 0)
        assert KNOWN in out and "stand-in" in out


WORDS = st.text("abz019", min_size=1, max_size=4)
MACHINES = st.lists(
    st.fixed_dictionaries(
        {"name": WORDS, "zone": WORDS, "status": st.sampled_from(["RUNNING", "STOPPING"])}
    ),
    max_size=6,
)
KEYS = ("name", "status", "machineType", "nothing")
# A filter, as a tree: a term is its key, operator and value.
TERMS = st.tuples(
    st.sampled_from(KEYS),
    st.sampled_from("=:"),
    st.one_of(WORDS.filter(str.isalpha), st.sampled_from(["RUNNING", "stop", "n1-standard-1"])),
    st.sampled_from(["", "*"]),
)
TREES: Any = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        st.tuples(st.just("NOT"), inner),
        st.tuples(st.sampled_from(["AND", "OR"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=6,
)


def in_words(tree: Any) -> str:
    """Return a tree as a filter."""
    if tree[0] == "NOT":
        return f"NOT ({in_words(tree[1])})"
    if tree[0] in ("AND", "OR"):
        return f" {tree[0]} ".join(f"({in_words(part)})" for part in tree[1])
    key, operator, value, star = tree
    return f"{key}{operator}{value}{star if operator == ':' else ''}"


def holds(tree: Any, machine: dict[str, str]) -> bool:
    """Return whether a tree lets a machine through; what is not there counts as `null`."""
    if tree[0] == "NOT":
        return not holds(tree[1], machine)
    if tree[0] in ("AND", "OR"):
        return (all if tree[0] == "AND" else any)(holds(part, machine) for part in tree[1])
    key, operator, value, star = tree
    text, value = machine.get(key, "null").lower(), value.lower()
    if operator == "=":
        return bool(text == value)
    return text.startswith(value) if star else value in text


def as_yaml(machines: list[dict[str, str]]) -> str:
    return yaml.dump({"services": {"compute": machines}})


def in_order(machines: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return machines as the API lists them, with the type that a world leaves out."""
    link = "https://www.googleapis.com/compute/v1/projects/spy-demo/zones/"
    ordered = sorted(machines, key=lambda it: (link + it["zone"], it["name"]))
    return [
        it | {"machineType": f"{link}{it['zone']}/machineTypes/n1-standard-1"} for it in ordered
    ]


@PROPERTY
@given(machines=MACHINES, tree=TREES, limit=st.one_of(st.none(), st.integers(1, 4)))
def test_any_filter_lets_through_what_a_model_does(
    printed: Any, machines: Any, tree: Any, limit: int | None
) -> None:
    cut = f" --limit={limit}" if limit else ""
    line = f"{LIST} --format=value(name) --filter={shlex.quote(in_words(tree))}{cut}"
    out, _, status = printed(as_yaml(machines), line)
    through = [it["name"] for it in in_order(machines) if holds(tree, it)]
    assert (out.splitlines(), status) == (through[:limit], 0)


@PROPERTY
@given(machines=MACHINES, backwards=st.booleans(), keys=st.permutations(["name", "status"]))
def test_any_order_is_that_of_a_model(
    printed: Any, machines: Any, backwards: bool, keys: list[str]
) -> None:
    by = ",".join(("~" if backwards else "") + key for key in keys)
    out, _, _ = printed(as_yaml(machines), f"{LIST} --sort-by={by} '--format=value(name,status)'")
    rows = [(it["name"], it["status"]) for it in in_order(machines)]
    rows.sort(key=lambda row: [row[("name", "status").index(key)] for key in keys])
    expected = rows[::-1] if backwards else rows
    assert out == "".join("\t".join(row) + "\n" for row in expected)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=6)
SPACED = st.lists(TEXTS, max_size=3).map(" ".join)


@PROPERTY
@given(
    shown=st.lists(SPACED, max_size=4),
    keys=st.lists(st.sampled_from(["name", "displayName", "nodeCount", "nothing"]), min_size=1),
)
def test_each_format_has_the_same_cells(printed: Any, shown: list[str], keys: list[str]) -> None:
    instances = [{"name": f"i{place}", "displayName": it} for place, it in enumerate(shown)]
    world = yaml.dump({"services": {"spanner": instances}})
    asked = ",".join(keys)

    def in_format(name: str) -> str:
        out, err, status = printed(world, f"spanner instances list '--format={name}({asked})'")
        assert (err, status) == ("", 0)
        return str(out)

    cells = [[str({**it, "nodeCount": 1}.get(key, "")) for key in keys] for it in instances]
    assert in_format("value") == "".join("\t".join(row) + "\n" for row in cells)
    listed = json.loads(in_format("json"))
    names = [f"projects/spy-demo/instances/{it['name']}" for it in instances]
    assert [(one or {}).get("name") for one in listed] == (
        names if "name" in keys else [None] * len(names)
    )


@PROPERTY
@given(shown=st.lists(SPACED, max_size=4))
def test_csv_is_read_as_csv(printed: Any, shown: list[str]) -> None:
    instances = [{"name": f"i{place}", "displayName": it} for place, it in enumerate(shown)]
    world = yaml.dump({"services": {"spanner": instances}})
    out, _, _ = printed(world, "spanner instances list '--format=csv(name,displayName)'")
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[1:] == [[it["name"], it["displayName"]] for it in instances]
    assert rows[:1] == ([["name", "display_name"]] if instances else [])


@PROPERTY
@given(flag=st.sampled_from(["filter", "format", "sort-by"]), text=st.text(max_size=20))
def test_any_text_is_answered_or_refused(printed: Any, flag: str, text: str) -> None:
    out, err, status = printed(SOME, f"{LIST} --{flag}={shlex.quote(text)}")
    assert status in (0, 1, 2)
    assert status == 0 or (out == "" and err.endswith(f"{KNOWN}\n"))
