"""The image modality: codec, augment, encoder."""
