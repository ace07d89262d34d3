from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models_app", "0004_log_chunks")]

    operations = [
        migrations.AddField(
            model_name="launch",
            name="adopted_foreign",
            field=models.BooleanField(
                default=False,
                help_text="Its container was started by somebody else: watched, never removed.",
            ),
        ),
    ]
