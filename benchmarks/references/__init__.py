"""One hand-written client a store: what a good engineer would write on the bare driver for our schema and no other."""
