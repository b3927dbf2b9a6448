"""The one training loop, its optimiser, reduction and checkpoints."""
