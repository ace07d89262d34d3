from django.contrib import admin

from chat_app.models import UsageRecord
from chat_app.models_limits import UsageLimit
from sparkweb.admin_base import ReadOnlyAdmin


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin):
    list_display = ["at", "user_label", "key_label", "model", "endpoint", "outcome", "status",
                    "input_tokens", "output_tokens", "first_ms", "duration_ms"]  # fmt: skip
    list_filter = ["outcome", "endpoint", "streamed"]
    search_fields = ["user_label", "key_label", "model", "=launch_uid"]


@admin.register(UsageLimit)
class UsageLimitAdmin(ReadOnlyAdmin):
    """Set on the page Usage, Limits, which checks the names of models and keeps an audit entry."""

    list_display = ["__str__", "model_names", "requests_per_minute", "requests_per_day", "tokens_per_minute",
                    "tokens_per_day", "parallel"]  # fmt: skip
    list_filter = ["user"]
    search_fields = ["user__username", "key__name", "key__prefix"]
