"""What a run says about a store: the selection of tests, their verdicts, the report."""
