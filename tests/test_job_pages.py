"""Pages of a list of jobs."""

import pytest

from analytics_kit.job_pages import JOBS_PER_PAGE, paginate


@pytest.mark.parametrize(
    ("count", "wanted", "number", "page_count", "first", "on_page"),
    [(0, 1, 1, 1, None, 0), (20, 2, 1, 1, 0, 20), (21, 2, 2, 2, 20, 1), (45, 99, 3, 3, 40, 5), (45, -1, 1, 3, 0, 20)],
)
def test_a_page_is_the_nearest_existing_one(count, wanted, number, page_count, first, on_page):
    assert JOBS_PER_PAGE == 20
    page = paginate(range(count), wanted)
    assert (page.number, page.page_count, page.job_count, len(page.jobs)) == (number, page_count, count, on_page)
    assert next(iter(page.jobs), None) == first
