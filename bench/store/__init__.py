"""The store: content keys, artifacts and trained weights, in files that are whole or absent."""
