"""Process interaction logs of user studies in Jupyter: submit a ZIP, go on working, get pandas DataFrames.

The public names are listed in `__init__.pyi` and loaded when they are first used.

>>> import analytics_kit as ak
>>> job = ak.submit(ak.sample_study("study.zip", participants=2, trials=1))
>>> trials = job.result(timeout=60).trials
>>> trials[["participant", "task", "factor", "trial"]].head(2)
  participant       task     factor  trial
0           1  Fill_Form   Baseline      1
1           1  Fill_Form  Cluttered      1
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
