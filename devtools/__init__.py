"""What our own tests, benchmarks and developers use; nothing of it is installed."""
