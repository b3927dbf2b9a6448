"""The text modality: codec, augment, encoder."""
