"""module-sdk's store in memory."""
