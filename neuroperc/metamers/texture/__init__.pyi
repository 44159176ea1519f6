from .model import TextureModel as TextureModel

__all__ = ["TextureModel"]
