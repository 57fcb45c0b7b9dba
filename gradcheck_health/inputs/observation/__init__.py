"""One trial of a model, observed: how dimensions flow, where the batch axis goes, what the output reaches."""
