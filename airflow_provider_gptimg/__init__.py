"""Apache Airflow provider for the gpt-image-2 image generation service."""

__version__ = "0.1.0"
