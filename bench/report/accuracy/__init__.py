"""Accuracy of each cell: the metrics, the frames, the tables and the figures over epsilon."""
