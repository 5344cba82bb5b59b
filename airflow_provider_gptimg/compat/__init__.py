"""What this provider needs of Airflow that is private, or differs from version to version."""
