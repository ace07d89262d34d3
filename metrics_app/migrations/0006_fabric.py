import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import metrics_app.models_fabric


class Migration(migrations.Migration):

    dependencies = [
        ('metrics_app', '0005_energy'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='node',
            name='fabric_twin_address',
            field=models.GenericIPAddressField(blank=True, help_text='Address of the second rail: the other half of the same port, like enP2p1s0f1np1.', null=True),
        ),
        migrations.CreateModel(
            name='FabricTest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uid', models.CharField(default=metrics_app.models_fabric.uid_make, editable=False, max_length=16, unique=True)),
                ('first_node', models.CharField(help_text='It sends.', max_length=40)),
                ('second_node', models.CharField(help_text='It receives.', max_length=40)),
                ('state', models.CharField(choices=[('running', 'Running'), ('done', 'Done')], db_index=True, default='running', max_length=8)),
                ('scheduled', models.BooleanField(default=False)),
                ('force_reason', models.CharField(blank=True, help_text='Why it was run though a model served over the link.', max_length=300)),
                ('port', models.PositiveIntegerField(help_text='Of the first rail; the second takes the next.')),
                ('seconds', models.PositiveSmallIntegerField(help_text='For each measurement.')),
                ('streams', models.PositiveSmallIntegerField()),
                ('step', models.PositiveSmallIntegerField(default=0)),
                ('step_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('steps', models.JSONField(default=list)),
                ('tone', models.CharField(blank=True, help_text='good, warn or bad.', max_length=4)),
                ('cause', models.CharField(blank=True, max_length=24)),
                ('sentence', models.TextField(blank=True)),
                ('gbits', models.FloatField(help_text='The most that was moved, Gbit/s.', null=True)),
                ('created_at', models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ('ended_at', models.DateTimeField(null=True)),
                ('requested_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-created_at', '-pk'],
            },
        ),
    ]
