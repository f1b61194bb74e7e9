"""`make kind`: both spies on a Kubernetes of the reader's, with the sandbox in it.

It works in one context and in a namespace of its own, and deletes nothing. It builds an image,
installs Airflow's official Helm chart with the values of `workshop/cluster/kubernetes`, runs both
DAGs, and prints what arrived.
"""

import json
import secrets
import shutil
import subprocess
from string import Template
from typing import Any
from urllib.parse import quote

import yaml

from workshop import __version__
from workshop.cluster.components import HERE, last_line
from workshop.cluster.waiting import wait_for
from workshop.ground import ROOT, Problem
from workshop.sandbox import DAG_VARIABLES, TODAY_VARIABLES

FOLDER = HERE / "kubernetes"
NAMESPACE, CHART, CHARTS = "gcp-spy", "1.22.0", "https://airflow.apache.org"
MARK = ("app.kubernetes.io/managed-by", "gcp-spy-workbook")
DAGS = ("gcp_spy", "gcp_spy_today")
ENDED = ("success", "failed")
DEPLOYMENTS = ("airflow-scheduler", "airflow-dag-processor", "airflow-api-server", "sandbox")
RECIPIENT = "ops@example.com"
SECONDS = 1800  # a first start fetches images of some GiB


def run_kind(context: str = "", image: str = "") -> None:
    """Install both spies in a cluster, run them, and print what arrived.

    Args:
        context: of kubectl; by default the current one, if its name begins with `kind-`.
        image: a repository that the cluster reads and docker may push to; by default the image is
            loaded into the nodes of kind.

    Raises:
        Problem: something is missing, or a step did not succeed.
    """
    for program in ("docker", "kubectl", "helm", *([] if image else ["kind"])):
        if not shutil.which(program):
            raise Problem(f"make kind needs the program {program}: install it, and try again.")
    _answer("docker", "info", cure="Start Docker, and try again.")
    cluster = Kind(_chosen(context, image), image or NAMESPACE)
    cluster.make_namespace()
    cluster.bring_image(is_pushed=bool(image))
    cluster.install()
    failed = [dag_id for dag_id in DAGS if cluster.run(dag_id) != "success"]
    print(f"\nWhat arrived:\n\n{cluster.ask('logs', 'deployment/sandbox')}")
    own = f"kubectl --context {cluster.context}"
    if failed:
        raise Problem(
            f"{', '.join(failed)} failed. {own} --namespace {NAMESPACE} get pods shows the pod of "
            "each task, and logs POD what it said."
        )
    print(f"All of it stays, until: {own} delete namespace {NAMESPACE}")


class Kind:
    """The namespace of `make kind` in a context of kubectl.

    Args:
        context: its name.
        image: the name of the image, without a tag.
    """

    def __init__(self, context: str, image: str) -> None:
        self.context = context
        self.image = image
        self.kubectl = ("kubectl", "--context", context, "--namespace", NAMESPACE)

    def ask(self, *words: str, given: Any = None) -> str:
        """Return what kubectl answers; raises Problem with its last line.

        Args:
            words: after those that name the namespace.
            given: an object for its standard input.
        """
        return _answer(*self.kubectl, *words, given="" if given is None else json.dumps(given))

    def make_namespace(self) -> None:
        """Make the namespace, unless an earlier `make kind` has made it; raises Problem."""
        found = self.ask("get", "namespace", NAMESPACE, "--ignore-not-found", "--output", "json")
        key, value = MARK
        if not found:
            meta = {"name": NAMESPACE, "labels": {key: value}}
            made = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
            self.ask("create", "--filename", "-", given=made)
        elif json.loads(found)["metadata"].get("labels", {}).get(key) != value:
            raise Problem(
                f"The context {self.context} has a namespace {NAMESPACE} that make kind did not "
                "make. It stays as it is: rename it, or use another cluster."
            )

    def bring_image(self, *, is_pushed: bool) -> None:
        """Build the image, and push it or load it into kind's nodes; raises Problem."""
        spy, both = f"{self.image}:{__version__}", self.tagged
        recipe = FOLDER / "Dockerfile"
        _done("docker", "build", "--file", str(recipe), "--tag", spy, str(ROOT))
        recipe = FOLDER / "sandbox.Dockerfile"
        _done("docker", "build", "--file", str(recipe), "--build-arg", f"SPY={spy}", "--tag", both,
              str(ROOT))  # fmt: skip
        if is_pushed:
            _done("docker", "push", both)
        else:
            cluster = self.context.removeprefix("kind-")
            _done("kind", "load", "docker-image", both, "--name", cluster)

    @property
    def tagged(self) -> str:
        """The image with its tag."""
        return f"{self.image}:{__version__}-sandbox"

    def install(self) -> None:
        """Make the secrets and the sandbox, install the chart, and wait for all; raises Problem."""
        for name, values in (("gcp-spy", of_the_spies()), ("gcp-spy-airflow", of_airflow())):
            if not self.ask("get", "secret", name, "--ignore-not-found", "--output", "name"):
                made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
                        "stringData": values}  # fmt: skip
                self.ask("create", "--filename", "-", given=made)
        sandbox = Template((FOLDER / "sandbox.yaml").read_text(encoding="utf-8"))
        made = yaml.safe_load(sandbox.substitute(image=self.tagged))
        self.ask("apply", "--filename", "-", given=made)
        repository, tag = self.tagged.rsplit(":", 1)
        _done("helm", "upgrade", "--install", "airflow", "airflow", "--repo", CHARTS,
              "--version", CHART, "--kube-context", self.context, "--namespace", NAMESPACE,
              "--values", str(FOLDER / "values.yaml"), "--values", str(FOLDER / "kind.yaml"),
              "--set-file", f"podTemplate={FOLDER / 'baked-in.yaml'}",
              "--set", f"images.airflow.repository={repository},images.airflow.tag={tag}",
              "--timeout", f"{SECONDS}s")  # fmt: skip
        for name in DEPLOYMENTS:
            _done(*self.kubectl, "rollout", "status", f"deployment/{name}", f"--timeout={SECONDS}s")

    def run(self, dag_id: str) -> str:
        """Run a DAG once, and return the state in which the run ended; raises Problem."""
        print(f"{dag_id} runs.", flush=True)
        run_id = f"kind-{secrets.token_hex(4)}"

        def triggered() -> str:
            """Return why the run did not begin: the DAG processor may not have read the file."""
            try:
                self._airflow("dags", "trigger", dag_id, "--run-id", run_id)
            except Problem as problem:
                return str(problem)
            return ""

        wait_for(triggered, lambda why: not why, str)
        self._airflow("dags", "unpause", dag_id, "--yes")

        def state() -> str:
            printed = self._airflow("dags", "list-runs", dag_id, "--output", "json").splitlines()
            runs = json.loads(next(line for line in printed if line.startswith("[{")))
            return str(next(run["state"] for run in runs if run["run_id"] == run_id))

        late = f"{dag_id} has not ended after {SECONDS} s, but is {{}}."
        return wait_for(state, ENDED.__contains__, late.format, seconds=SECONDS)

    def _airflow(self, *words: str) -> str:
        where = ("deployment/airflow-scheduler", "--container", "scheduler")
        return self.ask("exec", *where, "--", "airflow", *words)


def of_the_spies() -> dict[str, str]:
    """Return the variables of both spies, for the sandbox that has the name `sandbox`."""
    webhook = f"http://sandbox:8080/services/T0SPY/B0SPY/{secrets.token_hex(12)}"
    options = "disable_ssl=true&disable_tls=true&retry_limit=0&from_email=airflow%40example.com"
    values = (webhook, RECIPIENT, f"smtp://sandbox:2525?{options}",
              f"slackwebhook://:{quote(webhook, safe='')}@", RECIPIENT)  # fmt: skip
    return dict(zip((*DAG_VARIABLES, *TODAY_VARIABLES), values, strict=True))


def of_airflow() -> dict[str, str]:
    """Return new keys for Airflow, and a password for its user admin."""
    from cryptography.fernet import Fernet

    names = ("api-secret-key", "jwt-secret", "admin-password")
    return {name: secrets.token_urlsafe(32) for name in names} | {
        "fernet-key": Fernet.generate_key().decode()
    }


def _chosen(context: str, image: str) -> str:
    """Return the context to work in; raises Problem where it is not one to be used unasked."""
    if context:
        known = _answer("kubectl", "config", "get-contexts", "--output", "name").split()
        if context not in known:
            raise Problem(f"kubectl has no context '{context}', only {', '.join(known) or 'none'}.")
    else:
        cure = "kind create cluster makes one."
        context = _answer("kubectl", "config", "current-context", cure=cure).strip()
        if not context.startswith("kind-"):
            raise Problem(
                f"The current context is '{context}', and make kind uses unasked one whose name "
                f"begins with kind-. If you mean it: make kind CONTEXT={context} IMAGE=REPOSITORY"
            )
    if not image and not context.startswith("kind-"):
        raise Problem(
            f"An image of this machine cannot be loaded into '{context}'. Name a repository that "
            f"it reads and you may push to: make kind CONTEXT={context} IMAGE=REPOSITORY"
        )
    return context


def _answer(*words: str, given: str = "", cure: str = "") -> str:
    """Return what a program prints; raises Problem with its last line and the cure."""
    done = subprocess.run(words, input=given, capture_output=True, text=True)
    if done.returncode:
        said = last_line(done.stderr)
        raise Problem(f"{' '.join(words[:2])} failed: {said} {cure}".strip())
    return done.stdout


def _done(*words: str) -> None:
    """Run a program that prints for itself; raises Problem."""
    print(f"$ {' '.join(words)}", flush=True)
    if subprocess.call(words, stdin=subprocess.DEVNULL):
        raise Problem(f"{' '.join(words[:2])} failed; the reason stands above.")
