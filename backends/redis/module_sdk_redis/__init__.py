"""module-sdk's store in Redis and Valkey."""
