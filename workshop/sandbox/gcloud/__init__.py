"""The stand-in for gcloud: the services of a world, the language of its flags, the program.

The program starts for each call, as a package of its own that imports nothing else of the workbook:
so the imports here are relative, and few.
"""

from .services import COMPUTE, SERVICES, Service, list_api, read_world

__all__ = ["COMPUTE", "SERVICES", "Service", "list_api", "read_world"]
