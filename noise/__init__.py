"""Noise on text in any script: `from noise import Noiser`. This folder alone is enough to reuse it; the only package
needed is `regex`.
"""

from noise.noiser import VERSION, Edit, NoiseError, Noiser, Offsets

__all__ = ["VERSION", "Edit", "NoiseError", "Noiser", "Offsets"]
