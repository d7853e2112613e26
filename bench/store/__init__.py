"""Files: content keys, artifacts, weights, and how a file is written whole or not at all."""
