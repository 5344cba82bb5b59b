"""Many images in one Airflow task: what is wanted, what is done, and the doing."""
