"""Models: by name from outside, from scratch by seed, and small enough for tests."""
