"""The deep tier's search: random walks on a store and on the reference."""
