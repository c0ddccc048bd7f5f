"""The class that a backend extends, and what it needs to open a store and to return from calls in time."""
