"""Stores without a bug, of which the mutants are made."""
