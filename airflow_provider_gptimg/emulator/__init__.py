"""The image service on your own machine: ``gptimg-emulator``.

It was written only from the service's contract and shares no code with the provider's client, so that one
misreading cannot hide in both. Importing this package imports nothing else; start a server with
:class:`airflow_provider_gptimg.emulator.server.EmulatorServer` or the ``gptimg_emulator`` pytest fixture.
"""
