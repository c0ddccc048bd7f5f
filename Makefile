.PHONY: check test contract servers wheel-test

check:       ## style, format and types
	ruff check . && ruff format --check . && mypy
	for folder in backends/*/tests examples/*/tests; do mypy $$folder/*.py || exit; done

test:        ## everything
	pytest

contract:    ## the contract suite, on every store
	pytest backends -k contract

servers:     ## one real server of each kind until Ctrl-C, their URLs as lines for the shell
	python -m tests.servers

wheel-test:  ## the built wheel, installed elsewhere
	pytest tests/test_wheel.py
