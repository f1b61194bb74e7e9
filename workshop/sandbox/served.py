"""The sandbox's Slack and mail server in a pod of their own: `make kind` starts them in a cluster.

They listen on the pod's address, which the cluster alone reaches, and print what arrives.
"""

import os
import threading

from workshop.sandbox.mailserver import MailServer
from workshop.sandbox.slack import Slack

SLACK_PORT, MAIL_PORT = 8080, 2525


def serve(host: str, slack_port: int, mail_port: int, ended: threading.Event) -> None:
    """Serve until an event, and print what arrives.

    Args:
        host: the address to listen on.
        slack_port: of Slack; the last part of GCPSPY_SLACK_WEBHOOK is its secret.
        mail_port: of the mail server.
        ended: ends it.
    """
    slack = Slack(host, slack_port, os.environ["GCPSPY_SLACK_WEBHOOK"].rpartition("/")[2])
    mail = MailServer(host, mail_port)
    shown: set[int] = set()
    while not ended.wait(0.5):
        for arrival in (*slack.messages, *mail.mails):  # they stay, so each has an id of its own
            if id(arrival) not in shown:
                shown.add(id(arrival))
                print(f"{arrival!r}\n", flush=True)


if __name__ == "__main__":
    serve("0.0.0.0", SLACK_PORT, MAIL_PORT, threading.Event())
