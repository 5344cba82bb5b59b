"""Developer tools: a real Airflow to test against, a throw-away PostgreSQL, and the demo."""
