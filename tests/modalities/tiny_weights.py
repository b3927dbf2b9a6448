"""Pretrained weights small enough for a test, written as the transformers library writes them."""

from pathlib import Path

import torch
from transformers import BertConfig, BertModel, PreTrainedModel, ViTConfig, ViTModel


def save_tiny_vit(folder: Path, *, height: int = 16, width: int = 24) -> None:
    """A ViT for images of this size."""
    _save(ViTModel(ViTConfig(image_size=(height, width), patch_size=8, **_SIZES)), folder)


def save_tiny_bert(folder: Path) -> None:
    """A BERT of 300 tokens and 64 positions."""
    _save(BertModel(BertConfig(vocab_size=300, max_position_embeddings=64, **_SIZES)), folder)


_SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def _save(model: PreTrainedModel, folder: Path) -> None:
    with torch.no_grad():  # fresh weights are so small that every sample looks the same
        for parameter in model.parameters():
            parameter.mul_(3.0)
    model.save_pretrained(folder)
