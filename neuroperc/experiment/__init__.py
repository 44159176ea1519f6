"""Papers as experiments: a script, a table of parameters and claims, a result that says what holds.

An experiment is ``experiments/<name>.py`` with a frozen dataclass ``Config``, ``run(config)`` and ``plot(result)``,
and ``experiments/<name>.toml`` beside it::

    title = "Freeman & Simoncelli 2011: pooling windows"
    [paper]                                     # Config at the paper's size
    [smoke]                                     # Config for two cores and a minute
    [deviations]                                # required for each profile; an empty list says "none"
    paper = []
    smoke = ["reduced design: 3 of 7 scalings"]
    [claims.window_count]
    text = "windows around a ring at scaling 0.5"
    published = 25
    tolerance = 0
    unit = "windows"
    source = "Freeman & Simoncelli 2011, Methods"
    verified = "code"                           # how the published value was checked; "no" when it was not

A claim that does not hold stays in the ledger with its number.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
