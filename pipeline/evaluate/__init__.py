"""Frozen features, probes, controls, figures and reports."""
