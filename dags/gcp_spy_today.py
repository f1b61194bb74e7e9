"""Report the instances of four GCP services, once a day, to Slack and by mail.

The gcp_spy of the talk as one would put it into production today. It tells three things apart:
a service with instances, a service without any, and a service that could not be read. The last
is named in the report with its reason, and its task and the run are red. Of what gcloud itself
hides nobody is told: Bigtable's failed locations, and Cloud SQL's unreachable regions.

What it needs: Airflow 3.3 or later with the providers standard, slack and smtp, the program
gcloud with credentials on the worker, the connections `slack_default` (Slack Incoming Webhook)
and `smtp_default` (SMTP, with a from address and `retry_limit` 0), and the variable
`gcp_spy_recipient`, one address or several with commas. Without the parameter `project` it lists
the project that gcloud is set to.

The report goes out once a run, also when a task is tried again. Where nobody answered, nobody
knows whether it arrived: then it is sent again, and says so. Where a run is cleared and finds
something else, the report is sent as a correction. Where no report comes of a run, because a
task of its own failed or the time was over, both channels get a notice.
"""

import html
import json
import logging
import os
import re
import signal
import smtplib
import socket
import subprocess
from contextlib import contextmanager, suppress
from datetime import timedelta
from hashlib import sha256
from urllib.error import URLError

import pendulum
from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook
from airflow.providers.slack.notifications.slack_webhook import send_slack_webhook_notification
from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.providers.smtp.notifications.smtp import send_smtp_notification
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import (
    Asset,
    BaseHook,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
    Variable,
    conf,
    dag,
    task,
)
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import redact
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

SERVICES = {
    "sql": "Cloud SQL",
    "spanner": "Spanner",
    "bigtable": "BigTable",
    "compute": "Compute Engine",
}
ZONE = "Europe/Warsaw"
TITLE = "Instances in your GCP project {project}, {day}"
AGAIN = "Sent again: the first try got no answer, so this may be the second one you see."
CORRECTION = "Correction: an earlier report of this run said something else."
NO_WORD = "its task ended without a word; see its log"
# What gcloud says with exit status 0 of a list that is not whole: Compute Engine's, Spanner's.
CUT_SHORT = re.compile(
    r"WARNING: (Some requests did not succeed|The following instances were unreachable:)"
)
# gcloud's words for what another try does not mend. A refusal may stand in a list of its own.
FINAL = re.compile(
    r"^(?:ERROR: \(gcloud[\w.-]*\)|-) (?:"
    r"HTTPError 40[0134](?!.*(?:[Qq]uota|[Rr]ate.?[Ll]imit))"
    r"|\[.*?\] does not have permission to access (?!.*(?:[Qq]uota exceeded|[Rr]ate.?[Ll]imit))"
    r"|Projects instance \[.*?\] not found"
    r"|Required '[\w.]+' permission for "
    r"|The resource 'projects/.*?' was not found"
    r"|.* API has not been used in project "
    r"|You do not currently have an active account selected"
    r"|Your current active account \[.*?\] does not have any valid credentials"
    r"|There was a problem refreshing .*?invalid_(?:grant|client)"
    r"|Reauthentication (?:failed|required)"
    r"|Failed to load credential file"
    r"|The required property \[project\] is not currently set"
    r"|The \[project\] resource is not properly specified"
    r"|The project property (?:is|must be) set to)",
    re.MULTILINE,
)
USAGE = 2  # gcloud's exit status for words that it does not know
# User and password in an address, and Google's access tokens.
SECRET = re.compile(r"(?<=://)(?:[^\s/]*|[^\s/:]*:\S*)(?=@)|\bya29\.[\w.-]+")
AT_WORK = ("", "RUNNING", "RUNNABLE", "READY")
SLACK_SECTION = 2900  # characters; Slack takes 3000 in a section, and a line says what is cut
LONGEST = 100  # characters of a name or of a line of a reason
NOTHING_ARRIVED = (ValueError, RuntimeError, ConnectionRefusedError, socket.gaierror)
NO_USE = [FileNotFoundError, PermissionError, ValueError]
POLICY = ExceptionRetryPolicy(
    [RetryRule(NO_USE, action=RetryAction.FAIL, reason="another try would fail like this one")]
)
# US dollars a month, list prices of us-central1 in November 2018, rounded. Disks, traffic,
# discounts and Bigtable, whose nodes the list does not show, are left out.
USD_A_MONTH = {
    "n1-standard-1": 34.7,
    "n1-standard-4": 138.7,
    "db-f1-micro": 11.0,
    "db-n1-standard-1": 70.4,
    "spanner node": 657.0,
}
log = logging.getLogger(__name__)


def run_gcloud(words, seconds):
    """Return gcloud's exit status, its stdout, and its stderr without secrets.

    Raises: OSError, it cannot be run; TimeoutError, it took too long.
    """
    # By default a refused compute list ends with exit status 0, as if there were no machines.
    environment = os.environ | {"CLOUDSDK_COMPUTE_ALLOW_PARTIAL_ERROR": "false"}
    with subprocess.Popen(
        ["gcloud", *words], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, encoding="utf-8", errors="replace", start_new_session=True,
    ) as process:  # fmt: skip
        try:
            stdout, stderr = process.communicate(timeout=seconds)
        except BaseException as error:
            with suppress(ProcessLookupError):  # gcloud is a script: end what it started, too
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise TimeoutError(f"gcloud gave no answer in {seconds} seconds") from None
            raise
    stderr = masked(stderr)
    log.info("gcloud ended with status %s. Its stderr:\n%s", process.returncode, stderr)
    return process.returncode, stdout, stderr


def masked(text):
    """Return a text without what Airflow knows as secret, and without logins in addresses."""
    return SECRET.sub("***", redact(text))


def read(status, stdout, stderr):
    """Return the objects that gcloud listed, a problem or "", and its warnings or ""."""
    said = [line.strip() for line in stderr.splitlines() if line.strip()]
    problem, warning = reason(status, said) if status else "", ""
    if not status:
        warnings = words_from(said, re.compile("WARNING"))
        problem, warning = words_from(said, CUT_SHORT), warnings
    try:
        objects = json.loads(stdout)
    except (ValueError, RecursionError):
        objects = None
    if not isinstance(objects, list):
        return [], problem or "gcloud's answer is no list", warning
    return objects, problem, "" if problem else warning


def words_from(lines, begin):
    """Return some lines as one, from the first that begins so; "" where none does."""
    begun = next((number for number, line in enumerate(lines) if begin.match(line)), len(lines))
    told = [line for line in lines[begun : begun + 4] if line != "Listed 0 items."]
    return " ".join(cut(line, 2 * LONGEST) for line in told)


def reason(status, lines):
    """Return why gcloud ended with another status than 0, on one line."""
    number = -status if status < 0 else status - 128  # as Python says it, as a shell does
    if number in signal.valid_signals():
        memory = "; perhaps the worker lacks memory" if number == signal.SIGKILL else ""
        return f"gcloud was ended by {signal.Signals(number).name}{memory}"
    if said := words_from(lines, re.compile("ERROR")):
        return said
    # The last line of a traceback is the one that says something.
    last = f": {cut(lines[-1], 2 * LONGEST)}" if lines else " and without a word"
    return f"gcloud ended with status {status}{last}"


def instance(service, api):
    """Return name, size and a note of an API's object.

    The size is what it is billed by, or "". The note says where it is and whether it is at work.

    Raises: ValueError, this is no instance.
    """
    if not isinstance(api, dict) or not text(api.get("name")):
        raise ValueError("an object without a name")
    name = shown(api["name"].split("/instances/")[-1])  # projects/P/instances/NAME, or the bare
    zone = text(api.get("zone") or api.get("gceZone")).rsplit("/", 1)[-1]
    state = text(api.get("status") or api.get("state"))
    size = ""
    if service == "compute" and state == "RUNNING":
        size = text(api.get("machineType")).rsplit("/", 1)[-1]
    if service == "sql":
        about = api.get("settings")
        about = about if isinstance(about, dict) else {}
        stopped = about.get("activationPolicy") == "NEVER"
        state = "STOPPED" if stopped else state
        size = "" if stopped else text(about.get("tier"))
    if service == "spanner" and isinstance(api.get("nodeCount"), int):
        size = f"{api['nodeCount']} x spanner node"
    note = ", ".join(word for word in (zone, state) if word not in AT_WORK)
    return [name, size, shown(note)]


def text(value):
    return value if isinstance(value, str) else ""


def instances_of(service, objects):
    """Return the instances among some objects, and a problem or ""."""
    instances = []
    for api in objects:
        with suppress(ValueError):
            instances.append(instance(service, api))
    lost = len(objects) - len(instances)
    return instances, f"{lost} of {len(objects)} objects have no name" if lost else ""


def cut(text, length):
    return text if len(text) <= length else text[: length - 1] + "…"


def shown(name):
    """Return a name on one line, without what could end its markup or turn the text round."""
    return cut("".join(c if c.isprintable() and c != "`" else "?" for c in name), LONGEST)


def on_one_line(said):
    return cut("".join(c if c.isprintable() and c != "`" else " " for c in said), 400)


def in_order(rows):
    """Return what could not be read, then what has instances, then what has none."""
    return sorted(rows, key=lambda found: (not found["problem"], not found["instances"]))


def for_slack(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def remarks(found):
    """Return the lines about a service that are no instances."""
    partly = " completely" if found["instances"] else ""
    problem, warning = found["problem"], found["warning"]
    lines = [f"could not be read{partly}: {on_one_line(problem)}"] if problem else []
    return lines + ([f"gcloud warns: {on_one_line(warning)}"] if warning else [])


def slack_section(found):
    lines = [f"*{found['service']}:*"]
    lines += [f":warning: {for_slack(remark)}" for remark in remarks(found)]
    names = [f"`{for_slack(name)}` {for_slack(note)}" for name, _, note in found["instances"]]
    size = sum(map(len, lines)) + len(lines)
    for number, name in enumerate(names):
        size += len(name) + 1
        if size > SLACK_SECTION:
            lines.append(f"… and {len(names) - number} more; the mail has them all")
            break
        lines.append(name.rstrip())
    if not names and not found["problem"]:
        lines.append("-")
    # Verbatim: Slack makes no links and no calls of what stands there.
    words = {"type": "mrkdwn", "text": "\n".join(lines), "verbatim": True}
    return {"type": "section", "text": words}


def slack_message(report, notes=()):
    """Return the payload for Slack's webhook: a section a service, within Slack's limits."""
    title = {"type": "plain_text", "text": cut(report["title"], 150)}
    told = [{"type": "plain_text", "text": note} for note in notes]
    blocks = [{"type": "header", "text": title}]
    blocks += [{"type": "context", "elements": told}] if told else []
    blocks += map(slack_section, in_order(report["rows"]))
    return {"text": report["title"], "blocks": blocks}


def mail_html(report, notes=()):
    """Return the mail's body: every instance, on a line of its own."""
    text = "".join(f"{note}<br><br>" for note in notes)
    for found in in_order(report["rows"]):
        lines = [html.escape(remark) for remark in remarks(found)]
        for name, _, note in found["instances"]:
            lines.append(html.escape(name) + (f" <i>{html.escape(note)}</i>" if note else ""))
        if not found["instances"] and not found["problem"]:
            lines.append("-")
        text += f"<b>{found['service']}</b>:<br>{'<br>'.join(lines)}<br><br>"
    return text


def send_once(store, report, connect, to=""):
    """Send a report unless an earlier try has sent it, with what its reader must know.

    Args: the task's own store, which outlives its tries and a clear; the report; what connects,
    and gives a function of the notes and of this sending's number; to whom, of several.
    """
    digest = sha256(json.dumps(report).encode()).hexdigest()[:16]
    key = to.encode().hex()
    sent = store.get(f"sent{key}") or []
    if sent[-1:] == [digest]:
        return "an earlier try has sent it"
    with connect() as send:
        tried = store.get(f"trying{key}") or []
        notes = [CORRECTION] if {*sent, *tried} - {digest} else []
        notes += [AGAIN] if digest in tried else []
        store.set(f"trying{key}", [*tried, digest])
        try:
            send(notes, f"{len(sent)}.{digest}")
        except NOTHING_ARRIVED:
            store.set(f"trying{key}", tried)
            raise
        store.set(f"sent{key}", [*sent, digest])
        store.set(f"trying{key}", [])
    return " ".join(["sent.", *notes])


def need(connection):
    """Look for a connection. Raises: ValueError, there is none."""
    try:
        BaseHook.get_connection(connection)
    except AirflowNotFoundException:
        raise ValueError(f"There is no connection {connection}: add it to Airflow.") from None


@contextmanager
def slack(report):
    """Give what posts a report to Slack's webhook; after a 429 it waits as long as Slack says.

    Raises: ValueError, Slack will never take it; RuntimeError, it may later; TimeoutError or
    ConnectionError, no answer.
    """
    need("slack_default")
    limits = RateLimitErrorRetryHandler(max_retry_count=2)
    client = SlackWebhookHook(slack_webhook_conn_id="slack_default", retry_handlers=[limits]).client

    def send(notes, number):
        try:
            answer = client.send_dict(slack_message(report, notes))
        except URLError as error:
            raise error.reason if isinstance(error.reason, OSError) else error from None
        if answer.status_code != 200:
            said = f"Slack refused the message: {answer.status_code} {cut(answer.body, LONGEST)}"
            later = answer.status_code == 429 or answer.status_code >= 500
            raise RuntimeError(said) if later else ValueError(said)

    yield send


@contextmanager
def mail(report, to, run):
    """Give what mails a report to one address. It is logged in to the mail server.

    What is sent again has the same Message-ID, so that many mailboxes show it once.

    Raises: ValueError, the server will never take it; RuntimeError, it may later.
    """
    need("smtp_default")
    try:
        with SmtpHook(smtp_conn_id="smtp_default") as hook:
            if not hook.from_email:
                raise ValueError("The connection smtp_default has no from address: add it.")

            def send(notes, number):
                hook.send_email_smtp(
                    to=to,
                    from_email=hook.from_email,
                    subject=cut(report["title"], 200),
                    html_content=mail_html(report, notes),
                    custom_headers={"Message-ID": f"<{number}.{run}>"},
                )

            yield send
    except smtplib.SMTPRecipientsRefused as error:
        ((code, _),) = error.recipients.values()
        said = f"The mail server refused a recipient: {code}"
        raise ValueError(said) if code >= 500 else RuntimeError(said) from None
    except smtplib.SMTPResponseException as error:
        said = f"The mail server refused the login or the mail: {error.smtp_code}"
        raise ValueError(said) if error.smtp_code >= 500 else RuntimeError(said) from None


def run_in_words(ti):
    """Return DAG, run and deployment in the form of a Message-ID."""
    deployment = ti.log_url.split("/dags/")[0].split("://")[-1]
    words = [ti.dag_id, ti.run_id, deployment]
    dag_id, run_id, deployment = (re.sub(r"[^A-Za-z0-9]+", "-", word) for word in words)
    return f"{dag_id}.{run_id}@{deployment}"


def project_of_gcloud(seconds):
    """Return the project that gcloud is set to, as far as it says so."""
    try:
        status, stdout, _ = run_gcloud(["config", "get-value", "project"], seconds)
    except OSError:
        return "(not known)"
    return shown(stdout.strip()) if not status and stdout.strip() else "(not known)"


@task(map_index_template="{{ task.op_kwargs['service'] }}")
def list_instances(service, ti=None, params=None):
    found = {"service": SERVICES[service], "instances": [], "problem": NO_WORD, "warning": ""}
    words = [service, "instances", "list", "--format=json"]
    words += [f"--project={params['project']}"] if params["project"] else []
    try:
        status, stdout, stderr = run_gcloud(words, params["gcloud_seconds"])
        objects, problem, warning = read(status, stdout, stderr)
        instances, lost = instances_of(service, objects)
        found |= {"instances": instances, "problem": problem or lost, "warning": warning}
    except TimeoutError as error:
        found["problem"] = str(error)
        raise
    except OSError as error:
        found["problem"] = f"this worker cannot run the program gcloud: {error.strerror}"
        raise
    finally:
        # Before the task fails: the report names the reason.
        ti.xcom_push(key="found", value=found)
    if found["problem"]:
        lines = "\n".join(line.strip() for line in stderr.splitlines())
        final = status == USAGE or FINAL.search(lines)
        raise PermissionError(found["problem"]) if final else RuntimeError(found["problem"])


@task(trigger_rule="all_done", multiple_outputs=False)
def report(ti=None, params=None, dag_run=None):
    rows = []
    for number, title in enumerate(SERVICES.values()):
        found = ti.xcom_pull(task_ids="list_instances", key="found", map_indexes=number)
        nothing = {"service": title, "instances": [], "problem": NO_WORD, "warning": ""}
        rows.append(found or nothing)
    project = params["project"] or project_of_gcloud(params["gcloud_seconds"])
    day = pendulum.instance(dag_run.logical_date or dag_run.run_after).in_timezone(ZONE)
    return {"title": TITLE.format(project=project, day=day.to_date_string()), "rows": rows}


@task(on_failure_callback=send_smtp_notification(
    to="{{ var.value.gcp_spy_recipient }}",
    subject="gcp_spy_today: Slack did not get the report",
    html_content="{{ run_id }}: see the log of {{ ti.task_id }}.",
))  # fmt: skip
def send_slack(report, task_state_store=None):
    return send_once(task_state_store, report, lambda: slack(report))


@task(on_failure_callback=send_slack_webhook_notification(
    slack_webhook_conn_id="slack_default",
    text="gcp_spy_today: the mail was not sent. {{ run_id }}: see the log of {{ ti.task_id }}.",
))  # fmt: skip
def send_mail(report, task_state_store=None, ti=None):
    recipients = Variable.get("gcp_spy_recipient", default="").replace(";", ",").split(",")
    recipients = [to.strip() for to in recipients if to.strip()]
    if not recipients:
        raise ValueError("There is no variable gcp_spy_recipient, or it is empty: set it.")
    errors = []
    # One mail each: where the server takes one recipient of two, SMTP calls the mail sent.
    for to in recipients:
        try:
            send_once(
                task_state_store, report, lambda to=to: mail(report, to, run_in_words(ti)), to
            )
        except Exception as error:
            log.warning("The mail to recipient %s: %s", recipients.index(to) + 1, error)
            errors.append(error)
    if errors:
        # An error that may pass goes first: it is tried again.
        raise next((error for error in errors if not isinstance(error, ValueError)), errors[0])


def costs_of(report):
    """Return US dollars a month for each service, very roughly; None where nobody can say."""
    costs = {}
    for found in report["rows"]:
        prices = []
        for _, size, _ in found["instances"]:
            count, _, kind = size.rpartition(" x ")
            prices.append(int(count or 1) * USD_A_MONTH.get(kind, 0.0))
        costs[found["service"]] = None if found["problem"] else round(sum(prices), 2)
    return costs


@task.run_if(lambda context: context["params"]["estimate_cost"], "estimate_cost is off")
@task
def estimate_cost(report):
    return costs_of(report)


TOLD = ("list_instances", "send_slack", "send_mail")  # in the report, or by a notice of its own
RED = "gcp_spy_today: no report, or not all of it. {{ run_id }}: {{ reason }}."
NOTICES = [
    send_slack_webhook_notification(slack_webhook_conn_id="slack_default", text=RED),
    send_smtp_notification(
        to="{{ var.value.gcp_spy_recipient }}",
        subject="gcp_spy_today: a run failed",
        html_content=RED,
    ),
]


def tell_of_failure(context):
    """Send a notice over both channels, unless people were told of this failure already."""
    if context["reason"] == "task_failure" and context["ti"].task_id in TOLD:
        return
    for notice in NOTICES:
        try:
            notice(context)
        except Exception:
            log.exception("A notice was not sent.")


@dag(
    schedule="0 16 * * *",
    start_date=pendulum.datetime(2026, 11, 1, tz=ZONE),  # 16:00 on the wall, all year
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    on_failure_callback=tell_of_failure,
    default_args={
        "owner": "platform-team",
        "retries": 2,
        # The deployment's, five minutes by default; a mapped task would not ask for it itself.
        "retry_delay": timedelta(seconds=conf.getint("core", "default_task_retry_delay")),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=20),
        "retry_policy": POLICY,
        "execution_timeout": timedelta(minutes=15),
    },
    params={
        "project": Param(
            "", type="string", pattern=r"^([a-z][a-z0-9.:-]*[a-z0-9])?$(?!\n)",
            description="by default the one that gcloud is set to",
        ),
        "gcloud_seconds": Param(
            120, type="integer", minimum=1, maximum=600, description="for each list"
        ),
        "estimate_cost": Param(False, type="boolean", description="a rough one, in the XCom"),
    },
    tags=["gcp", "costs"],
    doc_md=__doc__,
)  # fmt: skip
def gcp_spy_today():
    listed = list_instances.expand(service=list(SERVICES))
    made = report()
    sent = [send_slack(made), send_mail(made)]
    estimate_cost(made)
    # A run is as green as its last tasks; this one waits for all that must succeed.
    complete = EmptyOperator(task_id="complete", outlets=[Asset("gcp_spy_report")])
    listed >> made
    [listed, *sent] >> complete


gcp_spy_today = gcp_spy_today()
