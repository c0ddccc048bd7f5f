"""Managers, servers and networks that fail on purpose."""
