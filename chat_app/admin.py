from django.contrib import admin

from chat_app.models import UsageRecord
from sparkweb.admin_base import ReadOnlyAdmin


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin):
    list_display = ["at", "user_label", "key_label", "model", "endpoint", "outcome", "status",
                    "input_tokens", "output_tokens", "first_ms", "duration_ms"]  # fmt: skip
    list_filter = ["outcome", "endpoint", "streamed"]
    search_fields = ["user_label", "key_label", "model", "=launch_uid"]
