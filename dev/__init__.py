"""Developer tools: a real Airflow for tests, a throw-away PostgreSQL, and the demo."""
