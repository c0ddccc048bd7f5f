"""Calls that run at the same time: threads, processes, races and forks."""
