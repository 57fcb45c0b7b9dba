"""What several facts share: paired runs, sub-batches, finite differences, the input of a loss."""
