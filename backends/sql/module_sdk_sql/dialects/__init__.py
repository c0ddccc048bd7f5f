"""Everything in which the databases differ, with one package per database."""
