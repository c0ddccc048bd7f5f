"""Stores that are right in everything but one thing, in files named by the rule that they break."""
