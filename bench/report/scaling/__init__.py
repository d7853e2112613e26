"""Scaling: one trained network at several values of parameters that its training ignores."""
