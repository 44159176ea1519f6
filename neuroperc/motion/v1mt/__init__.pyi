from .model import SimoncelliHeeger as SimoncelliHeeger

__all__ = ["SimoncelliHeeger"]
