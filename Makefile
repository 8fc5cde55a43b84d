# Two commands matter: `make lab` opens the course, `make test` runs every check.
# Both set up .venv first, inside this folder, and skip that when nothing has changed.

PYTHON ?= python3
WORKERS ?= 2
BENCH ?= --folder runs/bench

VENV := .venv/bin
# One thread a worker, and none that waits keeps a core: else two workers wait for one another.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(VENV)/python -m pytest -n $(WORKERS) --dist loadscope

.DEFAULT_GOAL := help
.PHONY: help lab test test-fast test-notebooks mutants notebooks course-report strips pictures site data quotes bench bench-more python base ready

help:
	@echo "make lab             open the course in JupyterLab (the first time: sets up .venv)"
	@echo "make test            every check: style, notebooks, unit tests"
	@echo "make test-fast       style and unit tests, without the notebooks and the slow tests"
	@echo "make test-notebooks  only the notebooks: run them again and compare every number"
	@echo "make mutants         plant faults in the library; unit tests must find each, notebooks most"
	@echo "make notebooks       make the notebooks' stored outputs again"
	@echo "make course-report   a line for each notebook: cells, words, exercises, numbers, seconds"
	@echo "make site            the course as web pages, in build/site/html"
	@echo "make pictures        draw the README's two pictures again"
	@echo "make strips          draw the frames of the site's explorers again (some minutes)"
	@echo "make data            bring the table of files in data/README.md up to date"
	@echo "make quotes          bring what the lessons quote from notebooks and results up to date"
	@echo "make bench           speed beside torchvision's and the machine's limit, in one report"
	@echo "make bench-more      equal training time, full size, the papers' models (many minutes)"
	@echo "Another Python: make lab PYTHON=python3.12        More test workers: make test WORKERS=8"

lab: base
	$(VENV)/teachseg lab

test: ready
	$(VENV)/ruff check .
	$(VENV)/python scripts/check_notebooks.py
	$(PYTEST)

test-fast: ready
	$(VENV)/ruff check .
	$(PYTEST) -m "not slow"

test-notebooks: ready
	$(VENV)/python scripts/check_notebooks.py

mutants: ready
	$(VENV)/python tests/mutants/gate.py --notebooks

notebooks: ready
	$(VENV)/python scripts/make_notebooks.py

course-report: ready
	$(VENV)/python scripts/course_report.py

data: base
	$(VENV)/python scripts/list_data.py

quotes: base
	$(VENV)/python scripts/quote_results.py

bench: ready
	$(VENV)/python tests/bench/report.py $(BENCH)

bench-more: ready
	mkdir -p runs/bench
	$(VENV)/python tests/bench/run.py --train 345 --full --json runs/bench/mask_rcnn.json
	$(VENV)/python tests/bench/bench_mnc.py --full --json runs/bench/mnc.json
	$(VENV)/python tests/bench/bench_metric.py --train 150 --full --json runs/bench/deep_metric.json
	$(VENV)/python tests/bench/bench_full.py --json runs/bench/full.json
	$(VENV)/python tests/bench/bench_recipes.py --json runs/bench/recipes.json

strips: ready
	$(VENV)/python scripts/make_strips.py

pictures: base
	$(VENV)/python scripts/make_pictures.py

site: ready
	$(VENV)/python scripts/make_site.py

# --- set-up: what the course needs (base), and what the checks need besides (ready) ---

base: python
	@$(PYTHON) scripts/install.py

ready: python
	@$(PYTHON) scripts/install.py test docs

# In words that any Python understands, for scripts/install.py is written for 3.11.
python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name yours:" \
			"make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "teachseg needs Python 3.11 or newer, and $(PYTHON) is" \
			"$$($(PYTHON) -V 2>&1). Name a newer one: make PYTHON=python3.12 ..." >&2; exit 1; }
