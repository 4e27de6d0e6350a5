"""The hash-chained journal, its projections and its followers."""
