"""Commands for the day when nothing else helps: ``airflow gptimg``."""
