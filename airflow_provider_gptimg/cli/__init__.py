"""Commands for an emergency: ``airflow gptimg``."""
