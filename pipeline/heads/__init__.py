"""Heads of fine-tuning: how fused features become class logits, and what training minimises of both."""
