"""The sandbox: a gcloud, a Slack endpoint and a mail server on this machine, and what arrived."""

from workshop.sandbox.children.sitecustomize import install as keep_around_children
from workshop.sandbox.dropdowns import switches
from workshop.sandbox.gcloud import SERVICES, Service
from workshop.sandbox.inbox import arrivals, arrived, mail, received, slack_message
from workshop.sandbox.isolation import SERVERS, sandbox_environment
from workshop.sandbox.mailserver import Mail, MailServer, unused_port
from workshop.sandbox.slack import NO_STATUS, Slack, SlackMessage, without_webhook
from workshop.sandbox.world import (
    DAG_VARIABLES,
    TODAY_VARIABLES,
    WORLDS,
    Sandbox,
    enter,
    fault,
    faults_now,
    handed_on,
    is_real,
    isolated,
    known_worlds,
    set_faults,
    use_real,
    visit,
    wants_real,
)

__all__ = [
    "DAG_VARIABLES", "NO_STATUS", "SERVERS", "SERVICES", "TODAY_VARIABLES", "WORLDS", "Mail",
    "MailServer", "Sandbox", "Service", "Slack", "SlackMessage", "arrivals", "arrived", "enter",
    "fault", "faults_now", "handed_on", "is_real", "isolated", "keep_around_children",
    "known_worlds", "mail", "received", "sandbox_environment", "set_faults", "slack_message",
    "switches", "unused_port", "use_real", "visit", "wants_real", "without_webhook",
]  # fmt: skip
