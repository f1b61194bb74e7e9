"""The gcp_spy DAG: list the instances of four GCP services, tell Slack, send a mail.

It is the DAG of the talk "Manageable data pipelines with Airflow (and Kubernetes)".
Assembled from the %%slide cells of the notebooks: change it there, not here.
"""

import json
import os

import pendulum
import requests
from airflow.providers.smtp.operators.smtp import EmailOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

SLACK_WEBHOOK = os.environ.get("GCPSPY_SLACK_WEBHOOK", "")
RECIPIENT_EMAIL = os.environ.get("GCPSPY_RECIPIENT_EMAIL", "")
INSTANCES_IN_PROJECT_TITLE = "Instances in your GCP project:"

GCP_SERVICES = [
    ("sql", "Cloud SQL"),
    ("spanner", "Spanner"),
    ("bigtable", "BigTable"),
    ("compute", "Compute Engine"),
]


def instance_names(result):
    return [] if result == "Listed 0 items." else result.split(" ")


def slack_field(title, names):
    value = "".join(f"`{name}`\n" for name in names) or "-"
    return {"title": title, "value": value, "short": str(not names)}


def slack_data(results):
    green = {"color": "#0f9d58", "mrkdwn_in": ["fields"]}
    green["fallback"] = green["pretext"] = INSTANCES_IN_PROJECT_TITLE
    green["fields"] = [slack_field(*result) for result in results if result[1]]
    blue = {"color": "#4285f4", "mrkdwn_in": ["fields"]}
    blue["fields"] = [slack_field(*result) for result in results if not result[1]]
    return {"attachments": [green, blue]}


def send_slack_msg(**context):
    results = []
    for gcp_service in GCP_SERVICES:
        result = context["task_instance"].xcom_pull(
            task_ids="gcp_service_list_instances_{}".format(gcp_service[0])
        )
        results.append((gcp_service[1], instance_names(result)))
    data = slack_data(results)
    requests.post(
        url=SLACK_WEBHOOK,
        data=json.dumps(data),
        headers={"Content-type": "application/json"},
    )


def email_html(results):
    html_content = ""
    for title, names in sorted(results, key=lambda result: not result[1]):
        lines = "".join(f"{name}<br>" for name in names or ["-"])
        html_content += f"<b>{title}</b>:<br>{lines}<br>"
    return html_content


def prepare_email(**context):
    results = []
    for gcp_service in GCP_SERVICES:
        result = context["task_instance"].xcom_pull(
            task_ids="gcp_service_list_instances_{}".format(gcp_service[0])
        )
        results.append((gcp_service[1], instance_names(result)))
    html_content = email_html(results)
    context["task_instance"].xcom_push(key="email", value=html_content)


dag = DAG(
    dag_id="gcp_spy",
    default_args={"start_date": pendulum.datetime(2018, 12, 1, tz="UTC"), "retries": 1},
    schedule="0 16 * * *",
)

send_slack_msg_task = PythonOperator(
    python_callable=send_slack_msg,
    task_id="send_slack_msg_task",
    dag=dag,
)

prepare_email_task = PythonOperator(
    python_callable=prepare_email,
    task_id="prepare_email_task",
    dag=dag,
)

send_email_task = EmailOperator(
    task_id="send_email",
    to=RECIPIENT_EMAIL,
    subject=INSTANCES_IN_PROJECT_TITLE,
    html_content="{{ task_instance.xcom_pull(task_ids='prepare_email_task', key='email') }}",
    dag=dag,
)

for gcp_service in GCP_SERVICES:
    bash_task = BashOperator(
        task_id="gcp_service_list_instances_{}".format(gcp_service[0]),
        bash_command="gcloud {} instances list | tail -n +2 | grep -oE '^[^ ]+' "
        "| tr '\n' ' '".format(gcp_service[0]),
        do_xcom_push=True,
        dag=dag,
    )
    bash_task >> send_slack_msg_task
    bash_task >> prepare_email_task

prepare_email_task >> send_email_task
