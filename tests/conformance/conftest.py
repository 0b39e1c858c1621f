from fakes.fixtures import label_studio, workshop

__all__ = ["label_studio", "workshop"]
