"""The tests of the contract, one module per group of clauses."""
