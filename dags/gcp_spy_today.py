"""Report the instances of four GCP services, once a day, to Slack and by mail.

The gcp_spy of the talk as one would put it into production today. It tells three things apart:
a service with instances, a service without any, and a service that could not be read. The last
is named in the report with its reason, and its task and the run are red.

What it needs: the program gcloud with credentials on the worker, the connections `slack_default`
(Slack Incoming Webhook) and `smtp_default` (SMTP, with a from address and `retry_limit` 0), and
the variable `gcp_spy_recipient`. The report goes out once a run, also when a task is retried.
Where nobody answered, nobody knows whether it arrived: then it is sent again, and says so.
"""

import html
import json
import os
import signal
import smtplib
import socket
import subprocess
from contextlib import suppress
from datetime import timedelta
from urllib.error import URLError

import pendulum
from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook
from airflow.providers.slack.notifications.slack_webhook import send_slack_webhook_notification
from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.providers.smtp.notifications.smtp import send_smtp_notification
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import (
    Asset,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
    Variable,
    dag,
    task,
)
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

SERVICES = {
    "sql": "Cloud SQL",
    "spanner": "Spanner",
    "bigtable": "BigTable",
    "compute": "Compute Engine",
}
TITLE = "Instances in your GCP project:"
AGAIN = "Sent again: the first try got no answer, so this may be the second one you see."
NO_WORD = "its task ended without a word; see its log"
# What gcloud says with exit status 0 of a list that is not whole: Compute Engine's, Spanner's.
CUT_SHORT = ("Some requests did not succeed", "instances were unreachable")
SLACK_SECTION = 2900  # characters; Slack takes 3000 in a section, and a line says what is cut
LONGEST = 100  # characters of a name or of a line of a reason
# The delay before the second try; it doubles. A workshop sets it to nothing.
RETRY_SECONDS = int(os.environ.get("GCPSPY_RETRY_SECONDS", "60"))
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


def gcloud(service, seconds):
    """Return the objects of `gcloud SERVICE instances list`, and a problem or "".

    Raises: FileNotFoundError, there is no gcloud; TimeoutError, it took too long.
    """
    # By default a refused compute list ends with exit status 0, as if there were no machines.
    environment = os.environ | {"CLOUDSDK_COMPUTE_ALLOW_PARTIAL_ERROR": "false"}
    words = ["gcloud", service, "instances", "list", "--format=json"]
    with subprocess.Popen(
        words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
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
    try:
        objects = json.loads(stdout)
    except ValueError:
        return [], reason(stderr) if process.returncode else "gcloud's answer is no JSON"
    partial = any(words in stderr for words in CUT_SHORT)
    return objects, reason(stderr) if process.returncode or partial else ""


def reason(stderr):
    """Return the first words of an error, on one line; gcloud's errors can be a dozen lines."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    begun = next((n for n, line in enumerate(lines) if line.startswith("ERROR")), 0)
    return " ".join(cut(line, 2 * LONGEST) for line in lines[begun : begun + 2]) or "no reason"


def instance(service, api):
    """Return name and size of an API's object; the size is what it is billed by, or ""."""
    name = api["name"].split("/instances/")[-1]  # projects/P/instances/NAME, or the bare name
    if service == "compute" and api.get("status") == "RUNNING":
        return {"name": name, "size": api["machineType"].rsplit("/", 1)[-1]}
    if service == "sql" and api.get("settings", {}).get("activationPolicy") != "NEVER":
        return {"name": name, "size": api.get("settings", {}).get("tier", "")}
    if service == "spanner":
        return {"name": name, "size": f"{api.get('nodeCount', 0)} x spanner node"}
    return {"name": name, "size": ""}


def cut(text, length):
    return text if len(text) <= length else text[: length - 1] + "…"


def shown(name):
    """Return a name on one line, without what could end its markup or turn the text round."""
    return cut("".join(c if c.isprintable() and c != "`" else "?" for c in name), LONGEST)


def in_order(report):
    """Return what could not be read, then what has instances, then what has none."""
    return sorted(report, key=lambda found: (not found["problem"], not found["instances"]))


def for_slack(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unread(found):
    return "could not be read" + (" completely" if found["instances"] else "")


def shown_reason(found):
    return cut("".join(c if c.isprintable() and c != "`" else " " for c in found["problem"]), 400)


def slack_section(found):
    lines = [f"*{found['service']}:*"]
    if found["problem"]:
        lines.append(f":warning: {unread(found)}: {for_slack(shown_reason(found))}")
    names = [f"`{for_slack(shown(it['name']))}`" for it in found["instances"]]
    size = sum(map(len, lines)) + len(lines)
    for number, name in enumerate(names):
        size += len(name) + 1
        if size > SLACK_SECTION:
            lines.append(f"… and {len(names) - number} more; the mail has them all")
            break
        lines.append(name)
    if len(lines) == 1:
        lines.append("-")
    return {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(lines)}}


def slack_message(report, again=False):
    """Return the payload for Slack's webhook: a section a service, within Slack's limits."""
    title = {"type": "header", "text": {"type": "plain_text", "text": TITLE}}
    blocks = [title, *map(slack_section, in_order(report))]
    if again:
        blocks.append({"type": "context", "elements": [{"type": "plain_text", "text": AGAIN}]})
    return {"text": TITLE, "blocks": blocks}


def mail_html(report, again=False):
    """Return the mail's body: every instance, on a line of its own."""
    text = f"{AGAIN}<br><br>" if again else ""
    for found in in_order(report):
        lines = [html.escape(shown(it["name"])) for it in found["instances"]]
        if found["problem"]:
            lines.insert(0, f"{unread(found)}: {html.escape(shown_reason(found))}")
        text += f"<b>{found['service']}</b>:<br>{'<br>'.join(lines or ['-'])}<br><br>"
    return text


def send_once(store, send):
    """Call `send(again)` unless an earlier try has sent; say again where nobody knows.

    Args: the task's own store, which outlives its tries; and what sends. After the errors named
    below nothing has arrived; after any other, nobody knows.
    """
    if store.get("sent"):
        return "an earlier try has sent it"
    again = bool(store.get("trying"))
    store.set("trying", True)
    try:
        send(again)
    except (ValueError, RuntimeError, ConnectionRefusedError, socket.gaierror):
        if not again:
            store.delete("trying")
        raise
    store.set("sent", True)
    return "sent again" if again else "sent"


def post(payload):
    """Post to Slack's webhook; after a 429 wait as long as Slack says.

    Raises: ValueError, Slack will never take it; RuntimeError, it may later; TimeoutError or
    ConnectionError, no answer.
    """
    limits = RateLimitErrorRetryHandler(max_retry_count=2)
    hook = SlackWebhookHook(slack_webhook_conn_id="slack_default", retry_handlers=[limits])
    try:
        answer = hook.client.send_dict(payload)
    except URLError as error:
        raise error.reason if isinstance(error.reason, OSError) else error from None
    if answer.status_code != 200:
        said = f"Slack refused the message: {answer.status_code} {cut(answer.body, LONGEST)}"
        later = answer.status_code == 429 or answer.status_code >= 500
        raise RuntimeError(said) if later else ValueError(said)


def mail(body, run_id):
    """Send the mail. The same run has the same Message-ID: many mailboxes show it once.

    Raises: ValueError, the server will never take it; RuntimeError, it may later.
    """
    try:
        with SmtpHook(smtp_conn_id="smtp_default") as hook:
            hook.send_email_smtp(
                to=Variable.get("gcp_spy_recipient"),
                from_email=hook.from_email,
                subject=TITLE,
                html_content=body,
                custom_headers={"Message-ID": f"<{run_id.encode().hex()}@gcp-spy>"},
            )
    except smtplib.SMTPRecipientsRefused as error:
        codes = {code for code, _ in error.recipients.values()}
        said = f"The mail server refused the recipient: {codes}"
        raise ValueError(said) if min(codes) >= 500 else RuntimeError(said) from None
    except smtplib.SMTPResponseException as error:
        said = f"The mail server refused the mail: {error.smtp_code}"
        raise ValueError(said) if error.smtp_code >= 500 else RuntimeError(said) from None


@task(map_index_template="{{ task.op_kwargs['service'] }}")
def list_instances(service, ti=None, params=None):
    found = {"service": SERVICES[service], "instances": [], "problem": NO_WORD}
    try:
        objects, problem = gcloud(service, params["gcloud_seconds"])
        found |= {"instances": [instance(service, api) for api in objects], "problem": problem}
    except FileNotFoundError:
        found["problem"] = "there is no program gcloud on this worker"
        raise
    except TimeoutError as error:
        found["problem"] = str(error)
        raise
    finally:
        # Before the task fails: the report names the reason.
        ti.xcom_push(key="found", value=found)
    if "permission" in found["problem"] or "account" in found["problem"]:
        raise PermissionError(found["problem"])
    if found["problem"]:
        raise RuntimeError(found["problem"])


@task(trigger_rule="all_done")
def report(ti=None):
    rows = []
    for number, title in enumerate(SERVICES.values()):
        found = ti.xcom_pull(task_ids="list_instances", key="found", map_indexes=number)
        rows.append(found or {"service": title, "instances": [], "problem": NO_WORD})
    return rows


@task(on_failure_callback=send_smtp_notification(
    to="{{ var.value.gcp_spy_recipient }}",
    subject="gcp_spy_today: Slack did not get the report",
    html_content="{{ run_id }}: see the log of {{ ti.task_id }}.",
))  # fmt: skip
def send_slack(rows, task_state_store=None):
    return send_once(task_state_store, lambda again: post(slack_message(rows, again)))


@task(on_failure_callback=send_slack_webhook_notification(
    slack_webhook_conn_id="slack_default",
    text="gcp_spy_today: the mail was not sent. {{ run_id }}: see the log of {{ ti.task_id }}.",
))  # fmt: skip
def send_mail(rows, task_state_store=None, run_id=None):
    return send_once(task_state_store, lambda again: mail(mail_html(rows, again), run_id))


@task.run_if(lambda context: context["params"]["estimate_cost"], "estimate_cost is off")
@task
def estimate_cost(rows):
    """Return US dollars a month for each service, very roughly; None where nobody can say."""
    costs = {}
    for found in rows:
        prices = []
        for it in found["instances"]:
            count, _, size = it["size"].rpartition(" x ")
            prices.append(int(count or 1) * USD_A_MONTH.get(size, 0.0) if size else 0.0)
        costs[found["service"]] = None if found["problem"] else round(sum(prices), 2)
    return costs


@dag(
    schedule="0 16 * * *",
    start_date=pendulum.datetime(2026, 11, 1, tz="Europe/Warsaw"),  # 16:00 on the wall, all year
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    default_args={
        "owner": "platform-team",
        "retries": 2,
        "retry_delay": timedelta(seconds=RETRY_SECONDS),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=20),
        "retry_policy": POLICY,
        "execution_timeout": timedelta(minutes=15),
    },
    params={
        "gcloud_seconds": Param(120, type="integer", minimum=1, description="for each list"),
        "estimate_cost": Param(False, type="boolean", description="a rough one, in the XCom"),
    },
    tags=["gcp", "costs"],
    doc_md=__doc__,
)
def gcp_spy_today():
    listed = list_instances.expand(service=list(SERVICES))
    rows = report()
    sent = [send_slack(rows), send_mail(rows)]
    estimate_cost(rows)
    # A run is as green as its last tasks; this one waits for all that must succeed.
    complete = EmptyOperator(task_id="complete", outlets=[Asset("gcp_spy_report")])
    listed >> rows
    [listed, *sent] >> complete


gcp_spy_today = gcp_spy_today()
