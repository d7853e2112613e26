"""LaTeX: tables that fit a page of A4 at the document's own font, or are split."""
