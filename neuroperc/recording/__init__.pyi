from .inputs import place_in_field as place_in_field
from .recorder import list_layers as list_layers
from .recorder import record as record
from .store import clear_cache as clear_cache
from .store import list_cache as list_cache

__all__ = ["clear_cache", "list_cache", "list_layers", "place_in_field", "record"]
