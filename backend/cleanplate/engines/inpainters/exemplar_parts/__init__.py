"""What the exemplar inpainter is made of."""
