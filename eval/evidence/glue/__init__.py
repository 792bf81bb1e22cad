"""GLUE over all of its suites: differences by task, the page, the figure."""
