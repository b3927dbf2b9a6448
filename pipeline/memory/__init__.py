"""Rows of every sample that outlive its batch: feature bank, pseudo-labels, candidates, queue, momentum encoder."""
