"""Both sides of two decisions: `python -m benchmarks.choices`.

On SQLite an index that covers a row, or one that leads to it; on Redis a record in one packed string, or in a hash.
"""
