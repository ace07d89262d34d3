from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("metrics_app", "0006_fabric")]

    operations = [
        migrations.AlterField(
            model_name="nodeevent",
            name="kind",
            field=models.CharField(
                choices=[
                    ("online", "Online"),
                    ("offline", "Offline"),
                    ("booted", "Booted"),
                    ("driver", "Driver changed"),
                    ("agent", "Agent changed"),
                    ("reset", "Went down without warning"),
                    ("xid", "Xid error of a GPU"),
                    ("no_memory", "The driver had no memory"),
                    ("oom_kill", "The kernel killed for memory"),
                    ("verdict", "Verdict"),
                ],
                max_length=12,
            ),
        ),
    ]
