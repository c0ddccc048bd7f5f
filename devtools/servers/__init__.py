"""Real servers on loopback ports, with their data in temporary folders."""
