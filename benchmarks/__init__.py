"""How fast the stores are, measured against hand-written driver code: `python -m benchmarks --help`."""
