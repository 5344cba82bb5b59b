"""Many images in one Airflow task: the items, the journal of their states, and the work itself."""
