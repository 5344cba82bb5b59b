"""Tests of airflow-provider-gptimg."""
