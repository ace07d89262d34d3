from django.urls import path

from transcripts_app import views_figures, views_prices

urlpatterns = [
    path("transcripts/figures/", views_figures.transcript_figures, name="transcript_figures"),
    path(
        "transcripts/figures/export/",
        views_figures.transcript_figures_export,
        name="transcript_figures_export",
    ),
    path("transcripts/prices/", views_prices.transcript_prices, name="transcript_prices"),
    path("transcripts/prices/new/", views_prices.transcript_price_add, name="transcript_price_add"),
    path(
        "transcripts/prices/<int:pk>/delete/",
        views_prices.transcript_price_delete,
        name="transcript_price_delete",
    ),
]
