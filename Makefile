# make demo: from nothing to a trained classifier.  make test: all tests.  Both set everything up.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 2

.PHONY: setup demo test lint

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: setup
	test -d stores/synthetic || $(BIN)/python datasets/synthetic/prepare.py stores/synthetic
	rm -rf runs/demo
	$(BIN)/python experiments/train.py --config experiments/configs/synthetic/exercise.yaml \
		--data.store stores/synthetic --name demo --wandb offline
	$(BIN)/python tools/preview.py stores/synthetic --count 6 --out runs/demo/preview

# A file of tests to a process, a process to a core: small tensors gain nothing from threads.
test: export OMP_NUM_THREADS := 1
test: setup lint
	$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
