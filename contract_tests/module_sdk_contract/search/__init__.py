"""The search of the deep tier: random walks on a store and on the reference."""
