"""Training objectives: pure functions over embeddings plus thin modules."""
