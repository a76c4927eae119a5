# make demo    set up .venv with the base install and run the main example
# make test    set up .venv-test with everything and run every check and test
# make quick   the checks and the tests that take less than a minute in all
# make bench   print the benchmark tables
# make docs    write the generated references anew

PYTHON ?= python3
DEMO = examples/ask-a-page.flow.yaml
QUESTION = When was the power loom designed?
TEST = .venv-test/bin
PYTEST = $(TEST)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

.PHONY: demo test quick check bench docs clean

demo: .venv/ready
	@echo 'phloem run $(DEMO) -i question="$(QUESTION)"'
	@.venv/bin/phloem run $(DEMO) -i question="$(QUESTION)" --progress $$(test -t 2 && echo live || echo lines)
	@echo
	@echo 'Ask it something else: .venv/bin/phloem run $(DEMO) -i question="Where was the Jacquard loom shown?"'

test: check
	$(PYTEST)

quick: check
	$(PYTEST) -m "not slow" --hypothesis-profile quick

check: .venv-test/ready
	$(TEST)/ruff check .
	$(TEST)/ruff format --check .
	$(TEST)/mypy -p phloem.runtime -p phloem.nodes -p phloem.plugins -p phloem.editor
	$(TEST)/lint-imports

bench: .venv-bench/ready
	.venv-bench/bin/python tests/bench/all.py

docs: .venv-test/ready
	$(TEST)/python tools/write_references.py

.venv/ready: pyproject.toml constraints.txt tools/install.sh
	@PYTHON=$(PYTHON) sh tools/install.sh .venv

.venv-test/ready: pyproject.toml constraints.txt tools/install.sh
	@PYTHON=$(PYTHON) sh tools/install.sh .venv-test all,dev

.venv-bench/ready: pyproject.toml constraints.txt tools/install.sh
	@PYTHON=$(PYTHON) sh tools/install.sh .venv-bench bench

clean:
	rm -rf .venv .venv-test .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
