"""What the notebooks about the method and its cost show, drawn and computed."""
