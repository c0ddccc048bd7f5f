"""Running work: registered functions and the local runner."""
