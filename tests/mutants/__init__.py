"""Stores with one bug each, all of which the contract must catch."""
