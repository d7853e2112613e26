"""The harness: contracts, registry, grid, stages, store, runner, report and command line."""
