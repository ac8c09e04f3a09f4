"""Import the statistics libraries, which are an optional extra, or raise an error whose hint is what to install."""

try:
    from scipy.stats import f, linregress, t
    from statsmodels.stats.anova import AnovaRM
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.oneway import anova_oneway
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW
except ImportError as error:
    from analytics_kit.errors import SettingsError

    raise SettingsError(
        f"Statistics need scipy and statsmodels, which can't be loaded ({error}).",
        hint="pip install 'analytics_kit[stats]'",
    ) from error

__all__ = ["AnovaRM", "CompareMeans", "DescrStatsW", "anova_oneway", "f", "linregress", "multipletests", "t"]
