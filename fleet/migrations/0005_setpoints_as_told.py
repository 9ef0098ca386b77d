"""What a device says that it follows is kept beside what it measures; stations may be sent aFRR signals."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("fleet", "0004_modbus_framing_and_profiles")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE fleet_reading ADD COLUMN setpoint_kw double precision",
            "ALTER TABLE fleet_reading DROP COLUMN setpoint_kw",
        ),
        migrations.AlterField(
            model_name='devicecommand',
            name='kind',
            field=models.CharField(choices=[('set_power', 'Follow a power schedule'), ('remote_start', 'Start a transaction'), ('remote_stop', 'Stop a transaction'), ('trigger', 'Send a message now'), ('reset', 'Restart'), ('composite_schedule', 'Report the schedule in force'), ('afrr_signal', 'Follow an aFRR signal')], max_length=20),
        ),
    ]
