"""Concurrent calls: threads, processes, races and forks."""
