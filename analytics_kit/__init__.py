"""User-study interaction logs in Jupyter: submit a ZIP, go on working, get pandas DataFrames.

The public names are listed in `__init__.pyi` and loaded when they are first used.

>>> import analytics_kit as ak
>>> job = ak.submit("study.zip")  # doctest: +SKIP
>>> job.result().trials  # doctest: +SKIP
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
