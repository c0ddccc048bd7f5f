"""Discovery and loading of backends and observers."""
