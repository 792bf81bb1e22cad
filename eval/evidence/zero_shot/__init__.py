"""Zero-shot scores: by arm and task, of known models, the figure."""
