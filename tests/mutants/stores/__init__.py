"""Stores without a bug, from which the mutants are derived."""
