"""Records: the typed values that a run leaves on disk; free of torch."""
