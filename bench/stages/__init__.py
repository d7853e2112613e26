"""The stages of a run: tasks with content keys, and the executor that runs them."""
