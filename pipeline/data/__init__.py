"""Shards, manifest, index, plan and reader."""
