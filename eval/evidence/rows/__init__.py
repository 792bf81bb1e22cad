"""Two runs on the same rows: their answers, what other rows would change, the tables."""
