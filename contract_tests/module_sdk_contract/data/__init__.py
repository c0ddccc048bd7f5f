"""The tasks of the tests, and the reference that says how a store must answer."""
