"""Noise on text in any script: `from noise import Noiser`. README.md here says what it does and how to reuse it."""

from noise.draws import VERSION
from noise.files import NoiseError
from noise.noiser import Edit, Noiser, Offsets

__all__ = ["VERSION", "Edit", "NoiseError", "Noiser", "Offsets"]
