"""Zero-shot evaluation of any checkpoint, written down like every other measurement."""
