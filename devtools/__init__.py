"""Tools of our tests, benchmarks and developers, which are not installed."""
