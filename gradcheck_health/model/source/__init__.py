"""Where a model's source stands: frames, lines, assignments, and the line of every place of a finding."""
