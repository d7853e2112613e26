"""A paper's table: one value of a run over the labels that the rows and the columns are to have."""
