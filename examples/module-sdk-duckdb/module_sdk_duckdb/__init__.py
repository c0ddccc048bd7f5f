"""Task state of module-sdk in a DuckDB file."""
