"""Records: what a run leaves on disk, as typed values; free of torch."""
