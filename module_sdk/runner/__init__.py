"""Running work: the registered functions, and the local runner."""
