"""Pages of lists in the API. A module of its own: DRF loads it while it loads its views."""

from rest_framework.pagination import PageNumberPagination


class Pages(PageNumberPagination):
    """50 rows a page; `?page_size=` up to 500."""

    page_size_query_param = "page_size"
    max_page_size = 500
