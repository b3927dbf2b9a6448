"""The sensor modality: codec, augment, encoder."""
