"""Analysis: outcomes, metrics, statistical tests and checks on recorded runs; free of torch."""
