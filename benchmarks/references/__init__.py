"""One hand-written client per store: the code a good engineer would write on the bare driver, for our schema alone."""
