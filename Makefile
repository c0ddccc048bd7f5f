.PHONY: check test test-all contract deep bites servers wheel-test bench

check:       ## style, format and types (pyright: typing_tests alone)
	ruff check . && ruff format --check . && mypy && pyright
	for folder in backends/*/tests examples/*/tests; do mypy $$folder/*.py || exit; done

test:        ## the quick part of the tests, in minutes
	pytest

test-all:    ## all tests: every store and server, mutants, races, frameworks, poolers
	pytest tests backends -n auto --dist loadscope --ignore tests/contract/test_mutants.py
	pytest tests/contract/test_mutants.py

contract:    ## the contract suite, on every store
	pytest backends -k contract

deep:        ## what the check leaves out: searches and bad networks on every store, and how surely races are caught
	pytest backends -k contract --contract-tier=deep --durations=20
	python -m tests.mutants.races

bites:       ## the kill matrix of docs/contract-bites.md, written again
	python -m tests.mutants.matrix

servers:     ## one real server of each kind until Ctrl-C, their URLs as lines for the shell
	python -m devtools.servers

wheel-test:  ## the built wheel, installed elsewhere
	pytest tests/project/test_wheel.py

bench:       ## every store compared with hand-written driver code: benchmark-results/report.md (docs/performance.md)
	python -m benchmarks
