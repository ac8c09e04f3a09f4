"""Without the statistics libraries an error names what to install, and everything else works."""

import subprocess
import sys

CODE = """
import sys
sys.modules["statsmodels"] = None
import pandas as pd
from analytics_kit.errors import SettingsError
from analytics_kit.study.result.result import StudyResult

class Table(StudyResult):
    trials = pd.DataFrame({"participant": ["1"], "session": ["1"], "factor": ["a"], "completion_time_s": [1.0]})
    _joined = None

result = Table(None, {})
print(len(result.describe()), len(result.join(pd.DataFrame({"participant": [1], "age": [1]}))._joined))
for call in (lambda: result.compare("completion_time_s"), result.learning_curve):
    try:
        call()
    except SettingsError as error:
        print(str(error).splitlines()[1])
"""


def test_without_the_extra_statistics_raise_and_the_rest_works():
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["1 1", *["Hint: pip install 'analytics_kit[stats]'"] * 2]
