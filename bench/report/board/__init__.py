"""The board: the defenses of several runs in one ranking, where they are comparable."""
