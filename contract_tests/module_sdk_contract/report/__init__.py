"""The result of a run: the selection of tests, their verdicts, the report."""
