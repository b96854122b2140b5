# One command for each intent. `make demo` and `make test` do all their own set-up.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test check docs bench lock clean format

$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@touch $@

# The other Pythons that Kiln runs on, as far as this machine has them: the tests compare what they derive.
$(VENV)/pythons: $(VENV)/ready tests/soundness/pythons.py
	@mkdir -p $@
	$(BIN)/python -m tests.soundness.pythons --prepare $@
	@touch $@

demo: $(VENV)/ready
	@$(BIN)/python examples/demo.py

test: $(VENV)/ready $(VENV)/pythons
	$(BIN)/python -m pytest -n 2

check: $(VENV)/ready $(VENV)/pythons
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2

format: $(VENV)/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/ready
	$(BIN)/python -m kiln doc std --out docs/_build --title "Kiln's library"

bench: $(VENV)/ready
	$(BIN)/python -m bench

lock:
	uv pip compile --universal --generate-hashes --extra dev --python-version 3.11 --no-header \
	  --no-annotate --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) *.egg-info build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
