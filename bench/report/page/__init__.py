"""The page of a run: one HTML file that opens without a network.

A section is a generator in `bench.report.page.contents`. Its HTML is a template in `templates`; its
behavior is a script in `static`, and all scripts and styles there become part of every page.
"""
