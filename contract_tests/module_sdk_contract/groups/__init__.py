"""The tests of the contract, one module a group of clauses."""
