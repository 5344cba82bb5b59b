"""Parts of Airflow that are private or differ between versions."""
