"""Graphs of pretraining samples that belong together, and what such a graph encodes."""
