"""The tasks of the tests, and the reference that says what a store must answer about them."""
