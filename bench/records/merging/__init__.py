"""Merging: one run of several, such as the shards of a grid, or runs with further seeds."""
