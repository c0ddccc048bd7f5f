"""How backends and observers are found and loaded."""
