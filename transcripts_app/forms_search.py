"""What the address of a search, and keeping one, take."""

from __future__ import annotations

from django import forms

from transcripts_app.models_search import QUERY_MOST
from transcripts_app.search.run import OFFSET_MOST, SORTS

SORT_CHOICES = [("", ""), *((sort, sort) for sort in SORTS)]


class SearchForm(forms.Form):
    """The query string; what makes no sense is left out. The parser refuses a query that is too long."""

    q = forms.CharField(max_length=4 * QUERY_MOST, required=False)
    sort = forms.ChoiceField(choices=SORT_CHOICES, required=False)
    by = forms.ChoiceField(choices=[("", ""), ("session", "session")], required=False)
    offset = forms.IntegerField(min_value=0, max_value=OFFSET_MOST, required=False)
    after = forms.CharField(max_length=40, required=False)


class SavedSearchForm(forms.Form):
    """A search to keep."""

    name = forms.CharField(max_length=80)
    query = forms.CharField(max_length=QUERY_MOST)
    sort = forms.ChoiceField(choices=SORT_CHOICES, required=False)
