# girobus: every command that the README names. Debian or any system with Python >= 3.11, make and git.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PYTEST := $(BIN)/pytest -n 2 --dist loadfile

.PHONY: demo test check bench bench-peers faults fuzz format docs clean help

help:
	@echo "make demo    run the main job against scripted partners"
	@echo "make test    install what the tests need and pass them"
	@echo "make check   format, lint, types, import contracts, docs"
	@echo "make bench   measure, print a table, write build/bench.jsonl"
	@echo "make bench-peers  measure the hop on RabbitMQ beside C and Camel; install the libraries that make bench compares"
	@echo "make faults  break what the bus stands on, under load, and judge (FULL=1 for the long run; ONLY=, SEED=)"
	@echo "make fuzz    a minute of broken input into everything that reads (SECONDS=, SEED=)"

$(READY): pyproject.toml transforms/iso20022/generate.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python's venv is missing; install it with: sudo apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY)
	$(BIN)/bus demo

test: $(READY)
	sh .ci/services
	$(PYTEST) tests

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/build.py --check

docs: $(READY)
	$(BIN)/python docs/build.py

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python -m bench

bench-peers: $(READY)
	$(PYTHON) -m venv build/peers
	build/peers/bin/python -m pip install --quiet --requirement bench/peers/requirements.txt
	@command -v mvn >/dev/null || { echo "Maven is not here, so Apache Camel on files is left out"; exit 0; }; \
	mvn --quiet --batch-mode --file bench/peers/camel_files/pom.xml org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
	  -DoutputDirectory=$(CURDIR)/build/camel-files -DincludeScope=runtime
	$(BIN)/python -m bench.peers.hops $(OPTIONS)

faults: $(READY)
	sh .ci/services
	$(BIN)/python -m tests.faults $(if $(FULL),--full) $(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED))

fuzz: $(READY)
	$(BIN)/python -m tests.fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

clean:
	rm -rf $(VENV) build .demo .mypy_cache .ruff_cache .pytest_cache
