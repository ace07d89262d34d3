from django.urls import path

from models_app import views, views_definitions, views_failures, views_schedules, views_webhooks

urlpatterns = [
    path("models/", views_definitions.definitions, name="definitions"),
    path("models/new/", views_definitions.definition_new, name="definition_new"),
    path("models/new/preview/", views_definitions.definition_preview, name="definition_new_preview"),
    path("models/import/", views_definitions.definitions_import, name="definitions_import"),
    path("models/export/", views_definitions.definitions_export, name="definitions_export"),
    path("models/<str:slug>/", views_definitions.definition, name="definition"),
    path("models/<str:slug>/edit/", views_definitions.definition_edit, name="definition_edit"),
    path(
        "models/<str:slug>/edit/preview/",
        views_definitions.definition_preview,
        name="definition_edit_preview",
    ),
    path("models/<str:slug>/delete/", views_definitions.definition_delete_view, name="definition_delete"),
    path("models/<str:slug>/card/", views.definition_card, name="definition_card"),
    path("models/<str:slug>/memory/", views.definition_memory, name="definition_memory"),
    path("models/<str:slug>/start/", views.definition_start, name="definition_start"),
    path("launches/", views.launches, name="launches"),
    path("launches/<str:uid>/", views.launch, name="launch"),
    path("launches/<str:uid>/panel/", views.launch_panel, name="launch_panel"),
    path("launches/<str:uid>/row/", views.launch_row, name="launch_row"),
    path("launches/<str:uid>/stop/", views.launch_stop_view, name="launch_stop"),
    path("launches/<str:uid>/correct/", views_failures.launch_correct_view, name="launch_correct"),
    path("launches/<str:uid>/restart/", views.launch_restart_view, name="launch_restart"),
    path("schedules/", views_schedules.schedules, name="schedules"),
    path("schedules/new/", views_schedules.schedule_new, name="schedule_new"),
    path("schedules/<int:pk>/", views_schedules.schedule, name="schedule"),
    path("schedules/<int:pk>/delete/", views_schedules.schedule_delete_view, name="schedule_delete"),
    path("webhooks/", views_webhooks.webhooks, name="webhooks"),
    path("webhooks/<str:uid>/", views_webhooks.webhook, name="webhook"),
    path("webhooks/<str:uid>/deliveries/", views_webhooks.webhook_deliveries, name="webhook_deliveries"),
    path("webhooks/<str:uid>/test/", views_webhooks.webhook_test_view, name="webhook_test"),
    path("webhooks/<str:uid>/secret/", views_webhooks.webhook_secret_view, name="webhook_secret"),
    path("webhooks/<str:uid>/delete/", views_webhooks.webhook_delete_view, name="webhook_delete"),
]
