"""The sweep of a run: its configuration, grid and plan, the tasks of a cell, and the runner."""
