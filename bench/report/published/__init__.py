"""Published figures, and a run set beside them; free of torch."""
