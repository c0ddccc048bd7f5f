"""Stores that are right in everything but one thing: the contract must catch each (CONTRACT.md, "Seeded bugs")."""
