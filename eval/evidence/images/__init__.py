"""Accuracy on images while the kept length grows: its numbers and its figures."""
