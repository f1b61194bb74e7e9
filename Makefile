# Every command a person types. `make help` lists them; the first run of any sets everything up.
.DEFAULT_GOAL := help
# Bytecode is kept, whatever the surroundings say: more than a hundred processes of the checks import
# the same modules, and pytest changes the assertions of each test file before it compiles it.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help lab check check-changed check-browser check-executors check-weekly check-examples check-links \
  canary executors composer-bundle kind demo rehearse present blank site doctor airflow bundle bench \
  bench-executors bench-upstream record record-ui dags mutants mutations lock setup clean

# The set-up is out of date when the lock changed, or when this folder was moved or copied.
READY := .venv/ready
ifneq ($(shell cat $(READY) 2>/dev/null),$(shell pwd -P))
.PHONY: $(READY)
endif
WORKSHOP := .venv/bin/python -m workshop
SLIDE := 16

$(READY): requirements.lock pyproject.toml workshop/setup.py
	@command -v python3 >/dev/null || { echo "Set-up stopped: there is no python3; install Python 3.11 or later."; exit 1; }
	@python3 workshop/setup.py

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

lab: $(READY) ## open JupyterLab on your own copy of the notebooks, in the folder work
	@$(WORKSHOP) lab

check: $(READY) ## run every check, or with NOTEBOOK=04_slack those of one notebook
	@$(WORKSHOP) check $(NOTEBOOK)

check-changed: $(READY) ## check what the changes since the last commit can affect
	@$(WORKSHOP) check-changed

check-browser: $(READY) ## drive JupyterLab in a headless Chromium as a person would
	@$(WORKSHOP) check-browser

check-executors: $(READY) ## run notebooks with clusters, and what they rest on
	@$(WORKSHOP) check-executors

check-weekly: $(READY) ## run what takes too long for each change
	@$(WORKSHOP) check-weekly

check-examples: $(READY) ## run Airflow's example DAGs as files and as cells, and compare
	@$(WORKSHOP) check-examples

check-links: $(READY) ## open each page outside that a notebook leads to
	@$(WORKSHOP) check-links

canary: $(READY) ## run what check runs on the newest Airflow, pre-releases too
	@$(WORKSHOP) canary

executors: $(READY) ## install what the notebooks 08 to 10 and 13 need beyond set-up, once
	@$(WORKSHOP) executors

composer-bundle: $(READY) ## prepare and check what would be uploaded to a managed Airflow
	@$(WORKSHOP) composer-bundle

kind: $(READY) ## run both spies on your Kubernetes: a kind-*, or CONTEXT=… IMAGE=…
	@$(WORKSHOP) kind --context "$(CONTEXT)" --image "$(IMAGE)"

demo: $(READY) ## run the gcp_spy notebooks headless, and show what arrived on one HTML page
	@$(WORKSHOP) demo

rehearse: $(READY) ## run the whole talk without a network, and print its times beside the plan's
	@$(WORKSHOP) rehearse

present: $(READY) ## open JupyterLab for a stage, with notes; make present SLIDE=24
	@$(WORKSHOP) present $(SLIDE)

blank: $(READY) ## write the notebooks for a room to build/blank: no outputs, no solutions
	@$(WORKSHOP) blank

site: $(READY) ## build the notebooks as pages that work from disk, in build/site
	@$(WORKSHOP) site

doctor: $(READY) ## say whether everything is here that the workbook needs
	@$(WORKSHOP) doctor

airflow: $(READY) ## run a real Airflow with its UI on dags/, beside the sandbox, until Ctrl-C
	@$(WORKSHOP) airflow

bundle: $(READY) ## fetch all packages into the folder bundle, for a room without a network
	@$(WORKSHOP) bundle

bench: $(READY) ## measure what the workbook costs beside bare Airflow; takes half an hour
	@$(WORKSHOP) bench

bench-executors: $(READY) ## let the same DAGs run on dag.test() and on three executors
	@$(WORKSHOP) bench-executors

bench-upstream: $(READY) ## measure what an API of one version would spare bare Airflow
	@$(WORKSHOP) bench-upstream

record: $(READY) ## run the notebooks and store their outputs; make record NOTEBOOK=04_slack
	@$(WORKSHOP) record $(NOTEBOOK) $(if $(MEASURED),--measured)

record-ui: $(READY) ## take the pictures of Airflow's UI for 08 anew, with a Chromium (for authors)
	@$(WORKSHOP) record-ui

dags: $(READY) ## write dags/gcp_spy.py and the index from the notebooks (for authors)
	@$(WORKSHOP) dags

mutants: $(READY) ## put small faults into the package: do tests see them? takes over an hour
	@$(WORKSHOP) mutants

mutations: $(READY) ## put small faults into gcp_spy_today: do its own tests see them? some minutes
	@$(WORKSHOP) mutations

lock: $(READY) ## renew requirements.lock from pyproject.toml (for authors; needs the network)
	@$(WORKSHOP) lock

setup: $(READY) ## set everything up in .venv and build, and stop there

clean: ## remove .venv and build; your copy of the notebooks stays
	@rm -rf .venv build
