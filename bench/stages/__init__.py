"""The stages of a run: pure functions of their inputs' keys, handed to an executor."""
