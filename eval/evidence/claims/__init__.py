"""What became of the claims of the paper: findings, tables, the page, the figure."""
