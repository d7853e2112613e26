"""Accuracy class by class: the frame and its table."""
