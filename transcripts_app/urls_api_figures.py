from django.urls import include, path, re_path

from sparkweb.api import Router
from transcripts_app import api_figures

router = Router()
router.register("transcripts/prices", api_figures.ModelPriceViewSet, basename="api_transcript_price")

urlpatterns = [
    re_path(
        r"^transcripts/figures/?$", api_figures.TranscriptFigures.as_view(), name="api_transcript_figures"
    ),
    re_path(
        r"^transcripts/figures\.csv/?$", api_figures.TranscriptFiguresCsv.as_view(),
        name="api_transcript_figures_csv",
    ),
    path("", include(router.urls)),
]  # fmt: skip
