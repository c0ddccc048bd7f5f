"""Stores with one bug each, in files named after the rule that they break."""
