"""module-sdk's store in MongoDB."""
