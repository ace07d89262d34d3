"""Every route, by everyone: a route that stands in no table here fails a test.

`need` is the least role; `public` answers without login. Pages send nobody to
login and refuse API keys; the API answers nobody with 401.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from metrics_app.fabric.plan import steps_of
from metrics_app.flight_file import Flight, flight_pack
from metrics_app.models import FlightRecord
from metrics_app.models_alerts import Alert, AlertChannel, AlertRule, Silence
from metrics_app.models_fabric import FabricTest
from models_app.models import Schedule, StorageJob, Turn, Webhook
from sandbox_app.models import Artifact, ImageBuild, Tool, ToolRun, ToolSession
from sparkweb.accounts.models import ApiKey, User
from sparkweb.asgi import websocket_urlpatterns
from tests.factories import (
    AttemptFactory,
    DefinitionFactory,
    GuardianActFactory,
    LaunchFactory,
    MemberFactory,
    NodeFactory,
)
from transcripts_app.models import ProjectAccess, RedactionProfile, TranscriptExport, TranscriptSource

RANK = {"public": 0, "viewer": 1, "operator": 2, "admin": 3}
UID = "00000000000000aa"
SESSION = "00000000-0000-4000-8000-0000000000aa"
FLIGHT = flight_pack(Flight([{"sampled_at": 1.0, "agent": {"host_boot": "b"}}], closed=False))
HOOK = 2 * "00000000000000bb"


@dataclass(frozen=True)
class Route:
    """One URL name with one method: who may, and an address to try."""

    name: str
    method: str
    path: str
    need: str

    @property
    def is_api(self) -> bool:
        return self.path.startswith(("/api", "/metrics", "/mcp"))


PAGES = """
health                  GET   /health                     public
login                   GET   /login/                     public
login                   POST  /login/                     public
logout                  POST  /logout/                    viewer
password_change         GET   /account/password/          viewer
password_change         POST  /account/password/          viewer
api_keys                GET   /account/keys/              viewer
api_keys                POST  /account/keys/              viewer
api_key_revoke          POST  /account/keys/1/revoke/     viewer
audit                   GET   /audit/                     admin
dashboard               GET   /                           viewer
nodes                   GET   /nodes/                     viewer
node                    GET   /nodes/spark-1/             viewer
energy                  GET   /energy/                    viewer
usage                   GET   /usage/                     viewer
usage_export            GET   /usage/export/              viewer
usage_limits            GET   /usage/limits/              admin
usage_limits            POST  /usage/limits/              admin
alerts                  GET   /alerts/                    viewer
alerts_firing           GET   /alerts/firing/             viewer
alert_acknowledge       POST  /alerts/1/acknowledge/      operator
silence_add             POST  /alerts/silences/           operator
silence_end             POST  /alerts/silences/1/end/     operator
alert_rules             GET   /alerts/rules/              viewer
alert_rule_new          GET   /alerts/rules/new/          admin
alert_rule_new          POST  /alerts/rules/new/          admin
alert_rule              GET   /alerts/rules/1/            admin
alert_rule              POST  /alerts/rules/1/            admin
alert_rule_delete       POST  /alerts/rules/1/delete/     admin
alert_channels          GET   /alerts/channels/           admin
alert_channels          POST  /alerts/channels/           admin
alert_channel           GET   /alerts/channels/1/         admin
alert_channel           POST  /alerts/channels/1/         admin
alert_channel_test      POST  /alerts/channels/1/test/    admin
alert_channel_delete    POST  /alerts/channels/1/delete/  admin
flight                  GET   /nodes/spark-1/flights/1/   viewer
scrape                  GET   /metrics                    viewer
scrape_known            GET   /metrics/known              viewer
fabric                  GET   /fabric/                    viewer
fabric_running          GET   /fabric/running/            viewer
fabric_test             GET   /fabric/tests/{uid}/        viewer
fabric_test_start       POST  /fabric/tests/              operator
node_history            GET   /nodes/spark-1/history/     viewer
node_new                GET   /node-new/                  admin
node_new                POST  /node-new/                  admin
definitions             GET   /models/                    viewer
definition              GET   /models/qwen/               viewer
definition_card         GET   /models/qwen/card/          viewer
definition_memory       GET   /models/qwen/memory/?node=spark-1  viewer
definition_start        POST  /models/qwen/start/         operator
definition_nodes        GET   /models/qwen/nodes/         viewer
definition_preflight    POST  /models/qwen/nodes/check/   operator
definition_nodes_start  POST  /models/qwen/nodes/start/   operator
definition_new          GET   /models/new/                admin
definition_new          POST  /models/new/                admin
definition_new_preview  POST  /models/new/preview/        admin
definition_edit         GET   /models/qwen/edit/          admin
definition_edit         POST  /models/qwen/edit/          admin
definition_edit_preview POST  /models/qwen/edit/preview/  admin
definition_delete       POST  /models/qwen/delete/        admin
definitions_import      GET   /models/import/             admin
definitions_import      POST  /models/import/             admin
definitions_export      GET   /models/export/             viewer
definitions_choose      GET   /models/export/choose/      viewer
definition_history      GET   /models/qwen/history/       viewer
change_revert           POST  /models/changes/1/revert/   admin
launches                GET   /launches/                  viewer
launch                  GET   /launches/{uid}/            viewer
launch_panel            GET   /launches/{uid}/panel/      viewer
launch_row              GET   /launches/{uid}/row/        viewer
launch_stop             POST  /launches/{uid}/stop/       operator
launch_correct          POST  /launches/{uid}/correct/    operator
launch_restart          POST  /launches/{uid}/restart/    operator
launch_release          POST  /launches/{uid}/release/    operator
container_adopt         GET   /nodes/spark-1/adopt/0123456789ab/  operator
container_adopt         POST  /nodes/spark-1/adopt/0123456789ab/  operator
schedules               GET   /schedules/                 viewer
schedule_new            GET   /schedules/new/             admin
schedule_new            POST  /schedules/new/             admin
schedule                GET   /schedules/1/               admin
schedule                POST  /schedules/1/               admin
schedule_delete         POST  /schedules/1/delete/        admin
webhooks                GET   /webhooks/                  admin
webhooks                POST  /webhooks/                  admin
webhook                 GET   /webhooks/{hook}/           admin
webhook                 POST  /webhooks/{hook}/           admin
webhook_deliveries      GET   /webhooks/{hook}/deliveries/ admin
webhook_test            POST  /webhooks/{hook}/test/      admin
webhook_secret          POST  /webhooks/{hook}/secret/    admin
webhook_delete          POST  /webhooks/{hook}/delete/    admin
node_storage            GET   /nodes/spark-1/storage/         viewer
node_storage_list       GET   /nodes/spark-1/storage/list/    viewer
node_storage_jobs       GET   /nodes/spark-1/storage/jobs/    viewer
node_storage_get        POST  /nodes/spark-1/storage/get/     operator
node_storage_delete     POST  /nodes/spark-1/storage/delete/  admin
node_storage_scan       POST  /nodes/spark-1/storage/scan/    operator
storage_job_cancel      POST  /storage-jobs/{uid}/cancel/     operator
storage_job_again       POST  /storage-jobs/{uid}/again/      operator
tools                   GET   /tools/                         viewer
tools_reload            POST  /tools/reload/                  admin
tool_run                GET   /tools/runs/{uid}/              viewer
tool_run_panel          GET   /tools/runs/{uid}/panel/        viewer
tool_run_cancel         POST  /tools/runs/{uid}/cancel/       viewer
tool_run_approve        POST  /tools/runs/{uid}/approve/      operator
tool_run_deny           POST  /tools/runs/{uid}/deny/         operator
tool                    GET   /tools/echo/                    viewer
tool_runs               GET   /tools/runs/                    viewer
tool_run_again          POST  /tools/runs/{uid}/again/        viewer
tool_run_compare        GET   /tools/runs/{uid}/compare/      viewer
tool_audit              GET   /tools/audit/                   admin
tool_audit_state        GET   /tools/audit/state/             admin
tool_audit_verify       POST  /tools/audit/verify/            admin
tool_audit_accept       POST  /tools/audit/accept/            admin
tool_audit_export       GET   /tools/audit/export/            admin
tool_audit_use          GET   /tools/audit/use/               admin
tool_audit_record       GET   /tools/audit/1/                 viewer
tool_try                POST  /tools/echo/run/                operator
tool_change             POST  /tools/echo/change/             admin
tool_services           GET   /tools/services/                viewer
tool_service_list       GET   /tools/services/nodes/          viewer
tool_service_change     POST  /tools/services/searxng/spark-1/start/ admin
tool_service_log        GET   /tools/services/searxng/spark-1/log/ admin
tool_image              GET   /tools/image/                   viewer
tool_selftest           GET   /tools/selftest/                admin
tool_selftest_list      GET   /tools/selftest/list/           admin
tool_selftest_start     POST  /tools/selftest/start/          admin
tool_image_list         GET   /tools/image/nodes/             viewer
tool_image_build        POST  /tools/image/build/             admin
tool_image_cancel       POST  /tools/image/builds/00000000000000aa/cancel/ admin
tool_forget             POST  /tools/echo/forget/             admin
tool_sessions           GET   /tools/sessions/                    viewer
tool_session_new        POST  /tools/sessions/new/                operator
tool_session            GET   /tools/sessions/{session}/          viewer
tool_session_panel      GET   /tools/sessions/{session}/panel/    viewer
tool_session_files      GET   /tools/sessions/{session}/files/    operator
tool_session_download   GET   /tools/sessions/{session}/download/?path=a  operator
tool_session_extend     POST  /tools/sessions/{session}/extend/   operator
tool_session_end        POST  /tools/sessions/{session}/end/      operator
tool_session_file_delete POST /tools/sessions/{session}/delete/   operator
tool_session_folder     POST  /tools/sessions/{session}/folders/  operator
transcripts             GET   /transcripts/                       viewer
transcript_session      GET   /transcripts/sessions/{uid}/        viewer
transcript_session_part GET   /transcripts/sessions/{uid}/part/   viewer
transcript_jump         GET   /transcripts/sessions/{uid}/jump/?kind=error&from=1  viewer
transcript_outline      GET   /transcripts/sessions/{uid}/outline/    viewer
transcript_agent        GET   /transcripts/sessions/{uid}/agents/1/   viewer
transcript_record       GET   /transcripts/sessions/{uid}/records/1/  viewer
transcript_media        GET   /transcripts/sessions/{uid}/media/{uid}/0/    viewer
transcript_raw          GET   /transcripts/sessions/{uid}/records/1/raw/    viewer
transcript_whole        GET   /transcripts/sessions/{uid}/records/1/whole/  viewer
transcript_projects     GET   /transcripts/projects/              viewer
transcript_project      GET   /transcripts/projects/{uid}/        viewer
transcript_exports        GET   /transcripts/export/               viewer
transcript_exports        POST  /transcripts/export/               viewer
transcript_export_list    GET   /transcripts/export/list/          viewer
transcript_export_file    GET   /transcripts/export/{uid}/file/    viewer
transcript_export_cancel  POST  /transcripts/export/{uid}/cancel/  viewer
transcript_export_delete  POST  /transcripts/export/{uid}/delete/  viewer
transcript_redaction      GET   /transcripts/redaction/            viewer
transcript_redaction_new  POST  /transcripts/redaction/new/        admin
transcript_redaction_preview  GET  /transcripts/redaction/preview/?session={uid}  viewer
transcript_redaction_profile  GET  /transcripts/redaction/mine/    viewer
transcript_redaction_change   POST /transcripts/redaction/mine/change/  admin
transcript_mask           POST  /transcripts/projects/{uid}/mask/  viewer
transcript_reveal         POST  /transcripts/sessions/{uid}/reveal/  viewer
transcript_figures        GET   /transcripts/figures/              viewer
transcript_figures_export GET   /transcripts/figures/export/       viewer
transcript_prices         GET   /transcripts/prices/               viewer
transcript_price_add      POST  /transcripts/prices/new/           admin
transcript_price_delete   POST  /transcripts/prices/1/delete/      admin
transcript_imports        GET   /transcripts/imports/              viewer
transcript_imports_state  GET   /transcripts/imports/state/        viewer
transcript_source_add     POST  /transcripts/imports/sources/      admin
transcript_source_change  POST  /transcripts/imports/sources/1/    admin
transcript_import_run     GET   /transcripts/imports/runs/1/       admin
transcript_import_file    GET   /transcripts/imports/files/1/      viewer
transcript_upload         GET   /transcripts/upload/               operator
transcript_upload_list    GET   /transcripts/upload/list/          operator
transcript_keep           GET   /transcripts/sessions/{uid}/keep/         viewer
transcript_keep_change    POST  /transcripts/sessions/{uid}/keep/change/  viewer
transcript_access         GET   /transcripts/projects/{uid}/access/       admin
transcript_access         POST  /transcripts/projects/{uid}/access/       admin
transcript_purge          GET   /transcripts/purge/                       viewer
transcript_restore        POST  /transcripts/sessions/{uid}/restore/      admin
shared_session            GET   /shared/nothing/                          public
transcript_shares         GET   /transcripts/sessions/{uid}/links/        admin
transcript_shares         POST  /transcripts/sessions/{uid}/links/        admin
transcript_share_revoke   POST  /transcripts/sessions/{uid}/links/1/revoke/  admin
transcript_import_bad     GET   /transcripts/imports/bad-lines/1/  viewer
transcript_branches     GET   /transcripts/sessions/{uid}/branches/   viewer
transcript_context      GET   /transcripts/sessions/{uid}/context/    viewer
transcript_files        GET   /transcripts/sessions/{uid}/files/?path=/a  viewer
transcript_blame        GET   /transcripts/blame/?path=/a         viewer
transcript_blame_paths  GET   /transcripts/blame/paths/?path=a    viewer
transcript_errors       GET   /transcripts/errors/                viewer
transcript_error        GET   /transcripts/errors/{uid}/          viewer
transcript_search        GET  /transcripts/search/                   viewer
transcript_search_counts GET  /transcripts/search/counts/?q=basket   viewer
transcript_search_suggest GET /transcripts/search/suggest/?word=to   viewer
transcript_search_recent POST /transcripts/search/recent/            viewer
transcript_search_save   POST /transcripts/search/save/              viewer
transcript_search_rename POST /transcripts/search/saved/1/rename/    viewer
transcript_search_delete POST /transcripts/search/saved/1/delete/    viewer
"""
API = """
schema                       GET     /api/schema/                        viewer
api_docs                     GET     /api/docs/                          viewer
api_me                       GET     /api/me                             viewer
api_usage                    GET     /api/usage                          viewer
api_usage_export             GET     /api/usage/export                   viewer
api_usage_limits             GET     /api/usage/limits                   admin
api_usage_limits             POST    /api/usage/limits                   admin
api_user-list                GET     /api/users                          admin
api_user-list                POST    /api/users                          admin
api_user-detail              GET     /api/users/viewer                   admin
api_user-detail              PATCH   /api/users/viewer                   admin
api_user-detail              DELETE  /api/users/viewer                   admin
api_key-list                 GET     /api/keys                           viewer
api_key-list                 POST    /api/keys                           viewer
api_key-detail               GET     /api/keys/1                         viewer
api_key-detail               DELETE  /api/keys/1                         viewer
api_audit-list               GET     /api/audit                          admin
api_audit-detail             GET     /api/audit/1                        admin
api_fabric                   GET     /api/fabric                         viewer
api_fabric_test-list         GET     /api/fabric-tests                   viewer
api_fabric_test-list         POST    /api/fabric-tests                   operator
api_fabric_test-detail       GET     /api/fabric-tests/{uid}             viewer
api_node-list                GET     /api/nodes                          viewer
api_node-list                POST    /api/nodes                          admin
api_node-detail              GET     /api/nodes/spark-1                  viewer
api_node-detail              PATCH   /api/nodes/spark-1                  admin
api_node-detail              DELETE  /api/nodes/spark-1                  admin
api_node-snapshot            GET     /api/nodes/spark-1/snapshot         viewer
api_node-history             GET     /api/nodes/spark-1/history          viewer
api_node-series              GET     /api/nodes/spark-1/series           viewer
api_node-samples             GET     /api/nodes/spark-1/samples          viewer
api_node-samples-csv         GET     /api/nodes/spark-1/samples.csv      viewer
api_node-events              GET     /api/nodes/spark-1/events           viewer
api_energy                   GET     /api/energy                         viewer
api_alert-list               GET     /api/alerts                         viewer
api_alert-detail             GET     /api/alerts/1                       viewer
api_alert-acknowledge        POST    /api/alerts/1/acknowledge           operator
api_alert_rule-list          GET     /api/alert-rules                    viewer
api_alert_rule-list          POST    /api/alert-rules                    admin
api_alert_rule-detail        GET     /api/alert-rules/1                  viewer
api_alert_rule-detail        PATCH   /api/alert-rules/1                  admin
api_alert_rule-detail        DELETE  /api/alert-rules/1                  admin
api_silence-list             GET     /api/silences                       viewer
api_silence-list             POST    /api/silences                       operator
api_silence-detail           DELETE  /api/silences/1                     operator
api_alert_channel-list       GET     /api/alert-channels                 admin
api_alert_channel-list       POST    /api/alert-channels                 admin
api_alert_channel-detail     GET     /api/alert-channels/1               admin
api_alert_channel-detail     PATCH   /api/alert-channels/1               admin
api_alert_channel-detail     DELETE  /api/alert-channels/1               admin
api_alert_channel-test       POST    /api/alert-channels/1/test          admin
api_definition-list          GET     /api/definitions                    viewer
api_definition-list          POST    /api/definitions                    admin
api_definition-detail        GET     /api/definitions/qwen               viewer
api_definition-detail        PUT     /api/definitions/qwen               admin
api_definition-detail        PATCH   /api/definitions/qwen               admin
api_definition-detail        DELETE  /api/definitions/qwen               admin
api_definition-memory-check  GET     /api/definitions/qwen/memory-check  viewer
api_definition-docker-run    GET     /api/definitions/qwen/docker-run    viewer
api_change-list              GET     /api/definition-changes             viewer
api_change-detail            GET     /api/definition-changes/1           viewer
api_change-revert            POST    /api/definition-changes/1/revert    admin
api_definition-preflight     POST    /api/definitions/qwen/preflight     operator
api_launch-list              GET     /api/launches                       viewer
api_launch-list              POST    /api/launches                       operator
api_launch-detail            GET     /api/launches/{uid}                 viewer
api_launch-engine            GET     /api/launches/{uid}/engine          viewer
api_launch-events            GET     /api/launches/{uid}/events          viewer
api_launch-members           GET     /api/launches/{uid}/members         viewer
api_launch-log               GET     /api/launches/{uid}/log             viewer
api_launch-log-history       GET     /api/launches/{uid}/log-history     viewer
api_launch-log-search        GET     /api/launches/{uid}/log-search      viewer
api_launch-log-file          GET     /api/launches/{uid}/log-file        viewer
api_launch-stop              POST    /api/launches/{uid}/stop            operator
api_launch-correct           POST    /api/launches/{uid}/correct         operator
api_launch-failure           GET     /api/launches/{uid}/failure         viewer
api_launch-comparison        GET     /api/launches/{uid}/comparison      viewer
api_launch-restart           POST    /api/launches/{uid}/restart         operator
api_launch-release           POST    /api/launches/{uid}/release         operator
api_node_adopt               POST    /api/nodes/spark-1/adopt            operator
api_schedule-list            GET     /api/schedules                      viewer
api_schedule-list            POST    /api/schedules                      admin
api_schedule-detail          GET     /api/schedules/1                    viewer
api_schedule-detail          PUT     /api/schedules/1                    admin
api_schedule-detail          PATCH   /api/schedules/1                    admin
api_schedule-detail          DELETE  /api/schedules/1                    admin
api_turn-list                GET     /api/turns                          viewer
api_turn-detail              GET     /api/turns/1                        viewer
api_guardian_act-list        GET     /api/guardian-acts                  viewer
api_guardian_act-detail      GET     /api/guardian-acts/{uid}            viewer
api_webhook-list             GET     /api/webhooks                       admin
api_webhook-list             POST    /api/webhooks                       admin
api_webhook-detail           GET     /api/webhooks/{hook}                admin
api_webhook-detail           PUT     /api/webhooks/{hook}                admin
api_webhook-detail           PATCH   /api/webhooks/{hook}                admin
api_webhook-detail           DELETE  /api/webhooks/{hook}                admin
api_webhook-test             POST    /api/webhooks/{hook}/test           admin
api_webhook-secret           POST    /api/webhooks/{hook}/secret         admin
api_webhook-deliveries       GET     /api/webhooks/{hook}/deliveries     admin
api_node_storage             GET     /api/nodes/spark-1/storage          viewer
api_node_storage_scan        POST    /api/nodes/spark-1/storage/scan     operator
api_node_storage_delete      POST    /api/nodes/spark-1/storage/delete   admin
api_storage_job-list         GET     /api/storage-jobs                   viewer
api_storage_job-list         POST    /api/storage-jobs                   operator
api_storage_job-detail       GET     /api/storage-jobs/{uid}             viewer
api_storage_job-cancel       POST    /api/storage-jobs/{uid}/cancel      operator
api_storage_job-events       GET     /api/storage-jobs/{uid}/events      viewer
api_catalogue                GET     /api/catalogue                      viewer
api_catalogue                POST    /api/catalogue                      admin
compat_metrics               GET     /api/metrics                        viewer
compat_memory                GET     /api/system/memory                  viewer
compat_containers            GET     /api/containers                     viewer
compat_log_level             GET     /api/config/log-level               viewer
compat_log_level             POST    /api/config/log-level               admin
compat_models                GET     /api/models                         viewer
compat_model                 GET     /api/models/qwen                    viewer
compat_model_start           POST    /api/models/qwen/start              operator
compat_model_stop            POST    /api/models/qwen/stop               operator
compat_model_health          GET     /api/models/qwen/health             viewer
compat_model_logs            GET     /api/models/qwen/logs               viewer
compat_model_memory_check    GET     /api/models/qwen/memory-check       viewer
api_tool_audit               GET     /api/tool-audit                     admin
api_tool_audit_record        GET     /api/tool-audit/1                   viewer
api_tool_audit_accept        POST    /api/tool-audit/accept              admin
api_tool_audit_export        GET     /api/tool-audit/export              admin
api_tool_audit_use           GET     /api/tool-audit/use                 admin
api_tool_audit_verify        GET     /api/tool-audit/verify              admin
api_tool_audit_verify        POST    /api/tool-audit/verify              admin
api_tools                    GET     /api/tools                          viewer
api_tool                     GET     /api/tools/echo                     viewer
api_tool                     PATCH   /api/tools/echo                     admin
api_tools_openai             GET     /api/tools-openai                   viewer
api_tools_reload             POST    /api/reload                         admin
mcp                          POST    /mcp                                viewer
api_sandbox_image            GET     /api/sandbox-image                  viewer
api_image_builds             POST    /api/sandbox-image/builds           admin
api_image_build              GET     /api/sandbox-image/builds/00000000000000aa viewer
api_image_build_cancel       POST    /api/sandbox-image/builds/00000000000000aa/cancel admin
compat_execute               POST    /api/execute/echo                   viewer
compat_search                POST    /api/search                         viewer
api_services                 GET     /api/services                       viewer
api_service_change           POST    /api/services/searxng/spark-1/start admin
api_service_log              GET     /api/services/searxng/spark-1/log   admin
api_run-list                 GET     /api/runs                           viewer
api_run-list                 POST    /api/runs                           viewer
api_run-detail               GET     /api/runs/{uid}                     viewer
api_run-cancel               POST    /api/runs/{uid}/cancel              viewer
api_run-approve              POST    /api/runs/{uid}/approve             operator
api_run-deny                 POST    /api/runs/{uid}/deny                operator
api_run-replay               POST    /api/runs/{uid}/replay              viewer
api_run-stream               GET     /api/runs/{uid}/stream              viewer
api_run-output               GET     /api/runs/{uid}/output              viewer
api_run-artifacts            GET     /api/runs/{uid}/artifacts           viewer
api_run-artifact             GET     /api/runs/{uid}/artifacts/{uid}     viewer
api_sessions                 GET     /api/sessions                       viewer
api_sessions                 POST    /api/sessions                       operator
api_session                  GET     /api/sessions/{session}             viewer
api_session                  DELETE  /api/sessions/{session}             operator
api_session_extend           POST    /api/sessions/{session}/extend      operator
api_session_files            GET     /api/sessions/{session}/files       operator
api_session_files            PUT     /api/sessions/{session}/files       operator
api_session_files            DELETE  /api/sessions/{session}/files       operator
api_session_content          GET     /api/sessions/{session}/content     operator
api_session_folders          POST    /api/sessions/{session}/folders     operator
compat_storage               POST    /api/storage/{session}              viewer
compat_storage_keys          GET     /api/storage/{session}/keys         viewer
compat_storage_files         GET     /api/storage/{session}/files        operator
api_transcript_projects      GET     /api/transcripts/projects           viewer
api_transcript_project       GET     /api/transcripts/projects/{uid}     viewer
api_transcript_sessions      GET     /api/transcripts/sessions           viewer
api_transcript_session       GET     /api/transcripts/sessions/{uid}     viewer
api_transcript_records       GET     /api/transcripts/sessions/{uid}/records        viewer
api_transcript_record        GET     /api/transcripts/sessions/{uid}/records/1      viewer
api_transcript_record_raw    GET     /api/transcripts/sessions/{uid}/records/1/raw  viewer
api_transcript_files         GET     /api/transcripts/sessions/{uid}/files          viewer
api_transcript_file          GET     /api/transcripts/sessions/{uid}/files/1        viewer
api_transcript_exports       GET     /api/transcripts/exports            viewer
api_transcript_exports       POST    /api/transcripts/exports            viewer
api_transcript_export        GET     /api/transcripts/exports/{uid}      viewer
api_transcript_export        DELETE  /api/transcripts/exports/{uid}      viewer
api_transcript_export_file   GET     /api/transcripts/exports/{uid}/file viewer
api_redaction_profiles       GET     /api/transcripts/redaction          viewer
api_redaction_profiles       POST    /api/transcripts/redaction          admin
api_redaction_profile        GET     /api/transcripts/redaction/mine     viewer
api_redaction_profile        PUT     /api/transcripts/redaction/mine     admin
api_redaction_profile        DELETE  /api/transcripts/redaction/mine     admin
api_redaction_preview        GET     /api/transcripts/sessions/{uid}/redaction  viewer
api_transcript_mask          GET     /api/transcripts/projects/{uid}/mask  viewer
api_transcript_mask          PUT     /api/transcripts/projects/{uid}/mask  viewer
api_transcript_figures       GET     /api/transcripts/figures            viewer
api_transcript_figures_csv   GET     /api/transcripts/figures.csv        viewer
api_transcript_price-list    GET     /api/transcripts/prices             viewer
api_transcript_price-list    POST    /api/transcripts/prices             admin
api_transcript_price-detail  GET     /api/transcripts/prices/1           viewer
api_transcript_price-detail  DELETE  /api/transcripts/prices/1           admin
api_transcript_sources       GET     /api/transcripts/sources            viewer
api_transcript_sources       POST    /api/transcripts/sources            admin
api_transcript_source        GET     /api/transcripts/sources/1          viewer
api_transcript_source        PATCH   /api/transcripts/sources/1          admin
api_transcript_source        DELETE  /api/transcripts/sources/1          admin
api_transcript_archive       GET     /api/transcripts/archive            viewer
api_transcript_imports       GET     /api/transcripts/imports            admin
api_transcript_import        GET     /api/transcripts/imports/1          admin
api_transcript_import_files  GET     /api/transcripts/imports/1/files    admin
api_transcript_imported_file GET     /api/transcripts/imported-files/1   viewer
api_transcript_bad_line      GET     /api/transcripts/bad-lines/1        viewer
api_transcript_uploads       GET     /api/transcripts/uploads            operator
api_transcript_uploads       POST    /api/transcripts/uploads            operator
api_transcript_upload        GET     /api/transcripts/uploads/{uid}      operator
api_transcript_upload        DELETE  /api/transcripts/uploads/{uid}      operator
api_transcript_upload_content PUT    /api/transcripts/uploads/{uid}/content operator
api_transcript_keeping       GET     /api/transcripts/sessions/{uid}/keeping  viewer
api_transcript_keeping       PATCH   /api/transcripts/sessions/{uid}/keeping  viewer
api_transcript_notes         POST    /api/transcripts/sessions/{uid}/notes    viewer
api_transcript_note          DELETE  /api/transcripts/sessions/{uid}/notes/1  viewer
api_transcript_access        GET     /api/transcripts/projects/{uid}/access   admin
api_transcript_access        PUT     /api/transcripts/projects/{uid}/access   admin
api_transcript_purge         GET     /api/transcripts/purge                   viewer
api_transcript_restore       POST    /api/transcripts/sessions/{uid}/restore  admin
api_transcript_shares        GET     /api/transcripts/sessions/{uid}/shares    admin
api_transcript_shares        POST    /api/transcripts/sessions/{uid}/shares    admin
api_transcript_share         DELETE  /api/transcripts/sessions/{uid}/shares/1  admin
api_transcript_requests      GET     /api/transcripts/requests           viewer
api_transcript_request       GET     /api/transcripts/requests/1         viewer
api_transcript_branches      GET     /api/transcripts/sessions/{uid}/branches          viewer
api_transcript_branch_pair   GET     /api/transcripts/sessions/{uid}/branches/compare  viewer
api_transcript_context       GET     /api/transcripts/sessions/{uid}/context           viewer
api_transcript_changed_files GET     /api/transcripts/sessions/{uid}/changed-files     viewer
api_transcript_file_at       GET     /api/transcripts/sessions/{uid}/changed-files/at  viewer
api_transcript_blame         GET     /api/transcripts/blame              viewer
api_transcript_blame_paths   GET     /api/transcripts/blame/paths        viewer
api_transcript_errors        GET     /api/transcripts/errors             viewer
api_transcript_error         GET     /api/transcripts/errors/{uid}       viewer
api_transcript_search        GET     /api/transcripts/search?q=basket               viewer
api_transcript_search_counts GET     /api/transcripts/search/counts?q=basket        viewer
api_transcript_titles        GET     /api/transcripts/titles?q=basket               viewer
api_saved_searches           GET     /api/transcripts/saved-searches                viewer
api_saved_searches           POST    /api/transcripts/saved-searches                viewer
api_saved_search             GET     /api/transcripts/saved-searches/1              viewer
api_saved_search             PATCH   /api/transcripts/saved-searches/1              viewer
api_saved_search             DELETE  /api/transcripts/saved-searches/1              viewer
"""
# What nodes send, signed with their keys: no user, key or cookie opens it (tests/link/test_http_auth.py).
NODES = """
node_log_chunk  POST  /node/log-chunks/  node
node_flight     POST  /node/flights/     node
node_session_body    POST  /node/session-files/body/    node
node_session_answer  POST  /node/session-files/answer/  node
node_tool_arguments  POST  /node/tool-arguments/  node
node_tool_folder     POST  /node/tool-folder/     node
node_tool_artifacts  POST  /node/tool-artifacts/  node
node_transcript_sources  POST  /node/transcripts/sources/  node
node_transcript_present  POST  /node/transcripts/present/  node
node_transcript_piece    POST  /node/transcripts/piece/    node
"""
ROUTES = [Route(*line.split()) for line in (PAGES + API).splitlines() if line]
NODE_ROUTES = [Route(*line.split()) for line in NODES.splitlines() if line]
# A key must not make keys, unless it may administer.
SESSION_OR_ADMIN_KEY = {
    ("api_key-list", "POST"), ("api_key-detail", "DELETE"),
    ("api_run-approve", "POST"), ("api_run-deny", "POST"),  # nor say yes to its own calls
}  # fmt: skip
ADMIN_TABLES = {
    "accounts.apikey", "accounts.auditentry", "accounts.nodekey", "accounts.user",
    "chat_app.usagelimit", "chat_app.usagerecord",
    "axes.accessattempt", "axes.accessfailurelog", "axes.accesslog",
    "metrics_app.alert", "metrics_app.alertchannel", "metrics_app.alertrule", "metrics_app.fabrictest",
    "metrics_app.energyday",
    "metrics_app.flightrecord", "metrics_app.node",
    "metrics_app.nodeevent", "metrics_app.silence",
    "models_app.cataloguedefaults", "models_app.definitionchange",
    "models_app.launch", "models_app.launchattempt", "models_app.launchevent",
    "models_app.launchmember", "models_app.modeldefinition", "models_app.stagetiming", "models_app.webhook",
    "models_app.nodeweights",
    "models_app.nodestorage", "models_app.storageevent", "models_app.storageitem", "models_app.storagejob",
    "models_app.guardianact",
    "node_link.journalcursor", "node_link.rejectedfact",
    "models_app.preflight", "models_app.nodeboot",
    "models_app.logchunk", "models_app.schedule", "models_app.turn", "outbox.notice",
    "sandbox_app.auditcheck", "sandbox_app.audithead", "sandbox_app.auditrecord", "sandbox_app.tool",
    "sandbox_app.toolsession", "sandbox_app.toolrun", "sandbox_app.artifact",
    "sandbox_app.imagebuild",
    "sandbox_app.managedservice",
    "sandbox_app.selftest",
    "transcripts_app.savedsearch",
    "archive.importrun", "archive.project", "archive.session", "archive.source", "archive.transcriptfile",
    "transcripts_app.archiverequest", "transcripts_app.transcriptsource",
    "transcripts_app.transcriptupload",
    "transcripts_app.transcriptexport", "transcripts_app.redactionprofile",
    "transcripts_app.projectmask",
    "transcripts_app.modelprice",
    "transcripts_app.projectaccess",
    "transcripts_app.sessionnote", "transcripts_app.sharelink", "transcripts_app.sessiontag",
}  # fmt: skip
SOCKETS = {"live": "tests/metrics/test_live_socket.py", "no_socket": "refuses everything"}


def patterns(entries: list[Any], prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for entry in entries:
        if isinstance(entry, URLResolver):
            yield from patterns(entry.url_patterns, prefix + str(entry.pattern))
        else:
            yield prefix + str(entry.pattern), entry


EVERY = list(patterns(get_resolver().url_patterns))
OURS = [(where, entry) for where, entry in EVERY if not where.startswith("admin/")]


# The tables are complete -----------------------------------------------------------


def test_every_route_stands_in_the_table() -> None:
    assert {entry.name for _, entry in OURS} == {route.name for route in ROUTES + NODE_ROUTES}


def test_every_method_of_the_api_stands_in_the_table() -> None:
    listed = {(route.name, route.method) for route in ROUTES if route.is_api}
    answered = {
        (entry.name, method)
        for where, entry in OURS
        if where.lstrip("^").startswith(("api/", "metrics", "mcp"))
        for method in _methods(entry)
    }
    assert answered == listed


def test_every_table_of_the_admin_panel_is_listed() -> None:
    assert {model._meta.label_lower for model in django_admin.site._registry} == ADMIN_TABLES


def test_every_socket_is_listed() -> None:
    assert {entry.name for entry in websocket_urlpatterns} == set(SOCKETS)


def _methods(entry: URLPattern) -> set[str]:
    actions = getattr(entry.callback, "actions", None)
    view = entry.callback.cls  # type: ignore[attr-defined]
    names = {name for name in view.http_method_names if name in (actions or dir(view))}
    return {name.upper() for name in names} - {"HEAD", "OPTIONS"}


# Everyone tries everything ---------------------------------------------------------


@pytest.fixture
def house(admin: User, operator: User, viewer: User, archive_with_one: Path) -> dict[str, Any]:
    """A node, a definition that runs, and one key that no caller owns."""
    node = NodeFactory(name="spark-1", status="online")
    definition = DefinitionFactory(slug="qwen")
    launch = LaunchFactory(definition=definition, node=node, uid=UID)
    MemberFactory(attempt=AttemptFactory(launch=launch))
    Schedule.objects.create(pk=1, name="Day", node=node, days=[0], starts_at="08:00", ends_at="20:00")
    Turn.objects.create(pk=1, node=node, cause="schedule", title="schedule Day")
    GuardianActFactory(launch=launch, uid=UID)
    rule = AlertRule.objects.create(pk=1, name="hot", metric="cpu_percent", value=90)
    Alert.objects.create(
        pk=1, rule=rule, rule_name="hot", severity="info", node_name="spark-1", series="cpu_percent"
    )
    FabricTest.objects.create(
        uid=UID, first_node="spark-1", second_node="spark-2", state="done", cause="silent",
        steps=steps_of([{"rail": 1, "first": "10.0.0.1", "second": "10.0.0.2"}]), port=5201,
        seconds=1, streams=1,
    )  # fmt: skip
    ends_at = timezone.now() + timedelta(hours=1)
    Silence.objects.create(pk=1, rule=rule, reason="quiet", ends_at=ends_at)
    FlightRecord.objects.create(
        pk=1, node_name="spark-1", host_boot="b", first_at=ends_at, last_at=ends_at, data=FLIGHT
    )
    AlertChannel.objects.create(pk=1, name="phone", kind="ntfy", sealed_url="x")
    Webhook.objects.create(uid=HOOK, name="hook", url="https://example.lan/hook")
    StorageJob.objects.create(uid=UID, node=node, node_name=node.name, kind="image_pull", title="busybox")
    tool = Tool.objects.create(name="echo", description="Says it again", missing=True, role="viewer")
    run = ToolRun.objects.create(uid=UID, tool=tool, tool_name="echo", node=node, node_name=node.name)
    ImageBuild.objects.create(uid=UID, node=node, node_name=node.name)
    Artifact.objects.create(uid=UID, run=run, kind="file", name="a.txt", size_bytes=1, sha256="a" * 64)
    stranger = User.objects.create(username="stranger")
    RedactionProfile.objects.create(name="mine", rules=["keys"])
    TranscriptExport.objects.create(uid=UID, user=stranger, what="all", label="Everything", format="html")
    ToolSession.objects.create(
        uid=SESSION, owner=stranger, node=node, node_name=node.name, expires_at=ends_at
    )
    ProjectAccess.objects.create(project_key=UID, visibility="all")
    TranscriptSource.objects.create(pk=1, node="spark-1", path="/home/ada/.claude/projects")
    ApiKey.objects.create(pk=1, user=stranger, key_hash="x", prefix="sw_x")
    return {"admin": admin, "operator": operator, "viewer": viewer}


def attempt(client: Client, route: Route) -> Any:
    """Try one route, and take back whatever it changed."""
    with transaction.atomic():
        mark = transaction.savepoint()
        body = {} if route.method in ("GET", "DELETE") else {"data": "{}", "content_type": "application/json"}
        answer = client.generic(route.method, route.path.format(uid=UID, hook=HOOK, session=SESSION), **body)
        transaction.savepoint_rollback(mark)
    return answer


def refused_login(answer: Any, route: Route) -> bool:
    if route.is_api:
        return answer.status_code == 401 and "Bearer" in answer["WWW-Authenticate"]
    return answer.status_code == 302 and answer["Location"].startswith("/login/?next=")


def let_in(answer: Any) -> bool:
    """Whatever it says, it says it to someone who may ask."""
    away = answer.status_code == 302 and answer["Location"].startswith("/login/?next=")
    return answer.status_code not in (401, 403, 405, 500) and not away


def cases(routes: list[Route]) -> Any:
    return pytest.mark.parametrize("route", routes, ids=[f"{route.method} {route.name}" for route in routes])


@cases(ROUTES)
def test_nobody(house: dict[str, Any], client: Client, route: Route) -> None:
    answer = attempt(client, route)
    assert let_in(answer) if route.need == "public" else refused_login(answer, route)


@cases(NODE_ROUTES)
def test_what_nodes_send_is_taken_from_nobody_else(
    house: dict[str, Any],
    client: Client,
    client_of: Callable[..., Client],
    bearer: Callable[..., Client],
    route: Route,
) -> None:
    for caller in (client, client_of(house["admin"]), bearer(house["admin"], "admin")):
        answer = attempt(caller, route)
        assert (answer.status_code, "WWW-Authenticate" in answer) == (401, False)


@cases([route for route in ROUTES if route.need != "public"])
def test_each_role(house: dict[str, Any], client_of: Callable[..., Client], route: Route) -> None:
    for role in ("viewer", "operator", "admin"):
        answer = attempt(client_of(house[role]), route)
        if RANK[role] >= RANK[route.need]:
            assert let_in(answer), f"{role} got {answer.status_code}: {answer.content[:300]!r}"
        else:
            assert answer.status_code == 403, f"{role} got {answer.status_code}"


@cases([route for route in ROUTES if route.is_api])
def test_each_scope_of_an_admins_key(
    house: dict[str, Any], bearer: Callable[..., Client], route: Route
) -> None:
    need = "admin" if (route.name, route.method) in SESSION_OR_ADMIN_KEY else route.need
    for scope, rank in (("read", 1), ("operate", 2), ("admin", 3)):
        answer = attempt(bearer(house["admin"], scope), route)
        if rank >= RANK[need]:
            assert let_in(answer), f"{scope} got {answer.status_code}: {answer.content[:300]!r}"
        else:
            assert answer.status_code == 403, f"{scope} got {answer.status_code}"


@cases([route for route in ROUTES if route.is_api])
def test_a_key_never_exceeds_its_owner_of_now(
    house: dict[str, Any], bearer: Callable[..., Client], route: Route
) -> None:
    client = bearer(house["admin"], "admin")
    User.objects.filter(pk=house["admin"].pk).update(role="viewer")
    answer = attempt(client, route)
    allowed = route.need == "viewer" and (route.name, route.method) not in SESSION_OR_ADMIN_KEY
    assert let_in(answer) if allowed else answer.status_code == 403


@cases([route for route in ROUTES if not route.is_api and route.need != "public"])
def test_pages_take_no_keys(house: dict[str, Any], bearer: Callable[..., Client], route: Route) -> None:
    assert refused_login(attempt(bearer(house["admin"], "admin"), route), route)


@cases([route for route in ROUTES if route.method not in ("GET",) and route.need != "public"])
def test_a_session_needs_its_csrf_token(house: dict[str, Any], route: Route) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(house["admin"], backend="django.contrib.auth.backends.ModelBackend")
    assert attempt(client, route).status_code == 403


@cases([route for route in ROUTES if route.is_api])
def test_the_api_answers_with_and_without_a_trailing_slash(
    house: dict[str, Any], client_of: Callable[..., Client], route: Route
) -> None:
    client = client_of(house["admin"])
    bare = Route(route.name, route.method, route.path.rstrip("/"), route.need)
    slashed = Route(route.name, route.method, bare.path + "/", route.need)
    answers = [attempt(client, bare), attempt(client, slashed)]
    assert answers[0].status_code == answers[1].status_code
    assert answers[0].status_code // 100 != 3


@pytest.mark.parametrize("where", [where for where, _ in EVERY if where.startswith("admin/")])
def test_admin_panel_lets_only_admins_in(
    house: dict[str, Any],
    client: Client,
    client_of: Callable[..., Client],
    bearer: Callable[..., Client],
    where: str,
) -> None:
    path = "/" + where.replace("<path:object_id>", "1").replace("<id>", "1").replace(
        "<int:content_type_id>", "1"
    )
    path = (
        path.replace("<path:url>", "x")
        .replace("<path:object_id>", "1")
        .split("^")[0]
        .replace("(?P<url>.*)$", "")
    )
    assert client.get(path).status_code == 302
    assert bearer(house["admin"], "admin").get(path).status_code == 302
    if path == "/admin/login/":
        return
    assert client_of(house["operator"]).get(path).status_code == 403
    assert client_of(house["viewer"]).get(path).status_code == 403
