"""Data sets and weights by name, from packages, the hub or a local folder."""
