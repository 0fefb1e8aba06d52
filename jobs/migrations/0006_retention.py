from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("jobs", "0005_queue_pauses")]

    operations = []
